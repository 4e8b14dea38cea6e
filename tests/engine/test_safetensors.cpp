// SPDX-License-Identifier: MIT
#include "engine/safetensors.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "engine/files.h"
#include "kernels/core/error.h"

namespace {

namespace fs = std::filesystem;
using drnas::SafetensorsFile;
using drnas::SafetensorsWriter;
using Shape = std::vector<std::int64_t>;

struct TemporaryFile {
  TemporaryFile() {
    std::string name = (fs::temp_directory_path() / "drnas_tensors_XXXXXX").string();
    const int descriptor = mkstemp(name.data());
    REQUIRE(descriptor >= 0);
    close(descriptor);
    path = name;
  }
  ~TemporaryFile() { fs::remove(path); }
  fs::path path;
};

/// The message of the Error that reading `path` throws; empty when it reads well.
std::string error_of_reading(const fs::path& path) {
  try {
    const SafetensorsFile file(path);
  } catch (const drnas::Error& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Values of any bit pattern: NaN and denormals too.
template <class T>
std::vector<T> random_values(std::size_t count, std::mt19937& random) {
  std::vector<T> values(count);
  for (T& value : values) {
    unsigned char bits[sizeof(T)];
    for (unsigned char& b : bits) b = static_cast<unsigned char>(random());
    std::memcpy(&value, bits, sizeof(T));
  }
  return values;
}

/// A file by hand: length, header as given, `data` bytes 0, 1, 2, ...
void write_by_hand(const fs::path& path, const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string text(reinterpret_cast<const char*>(&length), sizeof(length));
  text += header;
  for (std::size_t i = 0; i < data; ++i) text += static_cast<char>(i);
  drnas::write_file_atomically(path, text);
}

std::string header_of(const fs::path& path) {
  const std::string text = drnas::read_text_file(path);
  std::uint64_t length = 0;
  std::memcpy(&length, text.data(), sizeof(length));
  return text.substr(sizeof(length), length);
}

}  // namespace

TEST_CASE_TEMPLATE("safetensors: random tensors come back bit for bit", T, float, double,
                   std::int64_t, std::uint64_t, std::int32_t, std::uint32_t, std::uint8_t) {
  const TemporaryFile temporary;
  std::mt19937 random(17);
  SafetensorsWriter writer;
  std::vector<std::vector<T>> expected;
  std::vector<Shape> shapes{{}, {0}, {3, 0, 2}, {1}};
  for (int i = 0; i < 20; ++i) {
    Shape shape;
    for (unsigned rank = random() % 5; rank > 0; --rank) shape.push_back(1 + random() % 6);
    shapes.push_back(shape);
  }
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    std::size_t count = 1;
    for (const std::int64_t dimension : shapes[i]) count *= static_cast<std::size_t>(dimension);
    expected.push_back(random_values<T>(count, random));
    const std::string name = "t" + std::to_string(i);
    const std::span<const T> values = expected[i];
    if (i % 3 == 0) writer.add<T>(name, shapes[i], values);
    if (i % 3 == 1) writer.add_view<T>(name, shapes[i], values);
    if (i % 3 == 2)
      writer.add_computed<T>(name, shapes[i], [values](std::span<T> to) {
        std::copy(values.begin(), values.end(), to.begin());
      });
  }
  writer.write(temporary.path);
  const SafetensorsFile file(temporary.path);
  CHECK(file.entries().size() == shapes.size());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const std::string name = "t" + std::to_string(i);
    CHECK(file.at(name).shape == shapes[i]);
    CHECK(file.at(name).elements() == static_cast<std::int64_t>(expected[i].size()));
    const std::vector<T> read = file.values<T>(name);
    REQUIRE(read.size() == expected[i].size());
    if (!read.empty())
      CHECK(std::memcmp(read.data(), expected[i].data(), read.size() * sizeof(T)) == 0);
  }
}

TEST_CASE("safetensors: the bytes of a small file are as the format says") {
  const TemporaryFile temporary;
  SafetensorsWriter writer;
  writer.add<std::uint8_t>("b", {3}, std::vector<std::uint8_t>{1, 2, 3});
  writer.add<float>("w", {1, 2}, std::vector<float>{1.0f, -2.0f});
  writer.add<float>("a", {}, std::vector<float>{0.5f});
  writer.set_metadata("step", "7");
  writer.write(temporary.path);
  std::string header = R"({"__metadata__":{"step":"7","checksum":"dc7df717"},)"
                       R"("w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                       R"("a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},)"
                       R"("b":{"dtype":"U8","shape":[3],"data_offsets":[12,15]}})";
  while (header.size() % 8 != 0) header += ' ';
  CHECK(header_of(temporary.path) == header);
  const std::string text = drnas::read_text_file(temporary.path);
  CHECK(text.substr(8 + header.size()) ==
        std::string("\0\0\x80\x3f\0\0\0\xc0\0\0\0\x3f\1\2\3", 15));
  writer.write(temporary.path);
  CHECK(drnas::read_text_file(temporary.path) == text);
}

TEST_CASE("safetensors: every tensor is aligned and the data have no hole") {
  const TemporaryFile temporary;
  std::mt19937 random(5);
  SafetensorsWriter writer;
  for (int i = 0; i < 30; ++i) {
    const std::int64_t count = 1 + random() % 9;
    const auto size = static_cast<std::size_t>(count);
    const std::string name = std::to_string(i);
    if (i % 3 == 0)
      writer.add<std::uint8_t>(name, {count}, random_values<std::uint8_t>(size, random));
    if (i % 3 == 1) writer.add<float>(name, {count}, random_values<float>(size, random));
    if (i % 3 == 2) writer.add<double>(name, {count}, random_values<double>(size, random));
  }
  writer.write(temporary.path);
  const std::size_t start = 8 + header_of(temporary.path).size();
  CHECK(start % 8 == 0);
  const SafetensorsFile file(temporary.path);
  std::map<const std::byte*, const drnas::SafetensorsEntry*> by_address;
  std::size_t total = 0;
  for (const auto& [name, entry] : file.entries()) {
    by_address[entry.data.data()] = &entry;
    total += entry.data.size();
  }
  CHECK(by_address.size() == 30);
  CHECK(start + total == fs::file_size(temporary.path));
  const std::byte* expected = by_address.begin()->first;
  const std::byte* first = expected;
  for (const auto& [address, entry] : by_address) {
    CHECK(address == expected);
    const std::size_t item = entry->data.size() / static_cast<std::size_t>(entry->elements());
    CHECK(static_cast<std::size_t>(address - first) % item == 0);
    expected += entry->data.size();
  }
}

TEST_CASE("safetensors: names and metadata of any text come back") {
  const TemporaryFile temporary;
  SafetensorsWriter writer;
  const std::string names[] = {"cells.0.edges.1<-0.3.op.1.weight", "", "quote\" back\\ tab\t",
                               "\xce\xb1"};
  for (const std::string& name : names) {
    writer.add<float>(name, {1}, std::vector<float>{static_cast<float>(name.size())});
    writer.set_metadata("of " + name, name);
  }
  writer.write(temporary.path);
  const SafetensorsFile file(temporary.path);
  for (const std::string& name : names) {
    CHECK(file.values<float>(name) == std::vector<float>{static_cast<float>(name.size())});
    CHECK(file.metadata_at("of " + name) == name);
  }
  SafetensorsWriter invalid;
  invalid.set_metadata("key", "\xff\xfe");
  CHECK_THROWS_AS(invalid.write(temporary.path), drnas::Error);
  CHECK(error_of_reading(temporary.path) == "");
}

TEST_CASE("safetensors: a moved file keeps its data") {
  const TemporaryFile temporary;
  SafetensorsWriter writer;
  writer.add<double>("x", {2}, std::vector<double>{1.5, 2.5});
  writer.write(temporary.path);
  auto file = std::make_unique<SafetensorsFile>(temporary.path);
  const SafetensorsFile moved = std::move(*file);
  file.reset();
  CHECK(moved.values<double>("x") == std::vector<double>{1.5, 2.5});
}

TEST_CASE("safetensors: misuse names the file and what was expected") {
  const TemporaryFile temporary;
  SafetensorsWriter writer;
  const std::vector<float> two{1, 2};
  writer.add<float>("w", {2}, two);
  CHECK_THROWS_WITH_AS(writer.add<float>("w", {2}, two), "tensor 'w': the name is already taken",
                       drnas::Error);
  CHECK_THROWS_AS(writer.add<float>("__metadata__", {2}, two), drnas::Error);
  CHECK_THROWS_WITH_AS(writer.add<float>("v", {2, 2}, two),
                       "tensor 'v': shape [2, 2] does not hold 2 values", drnas::Error);
  CHECK_THROWS_AS(writer.add<float>("v", {-1, -2}, two), drnas::Error);
  CHECK_THROWS_AS(writer.add<float>("v", {std::int64_t{1} << 62, 4}, std::span<const float>()),
                  drnas::Error);
  CHECK_THROWS_AS(writer.add_view<float>("v", {3}, two), drnas::Error);
  CHECK_THROWS_AS(writer.add_computed<float>("w", {2}, [](std::span<float>) {}), drnas::Error);
  writer.write(temporary.path);
  const SafetensorsFile file(temporary.path);
  const std::string where = temporary.path.string();
  CHECK(file.contains("w"));
  CHECK_FALSE(file.contains("v"));
  CHECK_THROWS_WITH_AS(file.at("v"), (where + ": expected a tensor 'v', found none").c_str(),
                       drnas::Error);
  CHECK_THROWS_WITH_AS(file.values<double>("w"),
                       (where + ": tensor 'w': expected dtype F64, found F32").c_str(),
                       drnas::Error);
  CHECK_THROWS_WITH_AS(file.metadata_at("k"),
                       (where + ": expected metadata 'k', found none").c_str(), drnas::Error);
  CHECK(has(error_of_reading("no/such.safetensors"), "cannot read no/such.safetensors: "));
}

TEST_CASE("safetensors: a file cut anywhere is refused in one line that names it") {
  const TemporaryFile temporary;
  SafetensorsWriter writer;
  std::mt19937 random(3);
  writer.add<float>("a", {5}, random_values<float>(5, random));
  writer.add<std::uint8_t>("b", {7}, random_values<std::uint8_t>(7, random));
  writer.set_metadata("space", "nas-bench-201");
  writer.write(temporary.path);
  const std::string whole = drnas::read_text_file(temporary.path);
  const std::string header = header_of(temporary.path);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    drnas::write_file_atomically(temporary.path, std::string_view(whole).substr(0, length));
    const std::string error = error_of_reading(temporary.path);
    CAPTURE(length);
    CHECK(error.rfind(temporary.path.string() + ": ", 0) == 0);
    CHECK_FALSE(has(error, "\n"));
  }
  // The header cut with its length adjusted: the JSON ends early.
  const std::size_t json = header.find_last_not_of(' ');
  for (std::size_t length = 0; length <= json; ++length) {
    write_by_hand(temporary.path, header.substr(0, length), 27);
    CHECK(has(error_of_reading(temporary.path), "the header is not valid JSON"));
  }
}

TEST_CASE("safetensors: malformed headers are refused with what was expected") {
  const TemporaryFile temporary;
  const auto tensor = [](const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return R"({"x":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
           "}}";
  };
  const std::string list = "to be a list of non-negative integers", outside = "do not lie within";
  const struct {
    std::string header, error;
  } cases[] = {
      {"[]", "expected the header to be a JSON object"},
      {"{} x", "the header is not valid JSON"},
      {"{\"x\": 1e999}", "the header"},
      {R"({"x":1})", "tensor 'x': expected a JSON object"},
      {R"({"x":{}})", "tensor 'x': expected a dtype"},
      {R"({"__metadata__":{"k":1}})", "metadata 'k': expected a string"},
      {R"({"__metadata__":"k"})", "expected __metadata__ to be a JSON object"},
      {R"({"x":{"dtype":"F32"}})", "expected shape " + list},
      {R"({"x":{"dtype":"F32","shape":[4]}})", "expected data_offsets " + list},
      {tensor("7", "[4]", "[0,16]"), "tensor 'x': expected a dtype"},
      {tensor("\"F33\"", "[4]", "[0,16]"), "tensor 'x': unknown dtype 'F33'"},
      {tensor("\"F32\"", "4", "[0,16]"), "expected shape " + list},
      {tensor("\"F32\"", "[-4]", "[0,16]"), "expected shape " + list},
      {tensor("\"F32\"", "[4.0]", "[0,16]"), "expected shape " + list},
      {tensor("\"F32\"", "[18446744073709551615]", "[0,16]"), "expected shape " + list},
      {tensor("\"F32\"", "[4]", "[-16,0]"), "expected data_offsets " + list},
      {tensor("\"F32\"", "[4]", "[0]"), "expected two data_offsets"},
      {tensor("\"F32\"", "[4]", "[0,8,16]"), "expected two data_offsets"},
      {tensor("\"F32\"", "[4]", "[16,0]"), outside},
      {tensor("\"F32\"", "[4]", "[1,17]"), outside},
      {tensor("\"F32\"", "[4]", "[16,32]"), outside},
      {tensor("\"F32\"", "[0]", "[17,17]"), outside},
      {tensor("\"F32\"", "[4]", "[0,9223372036854775807]"), outside},
      {tensor("\"F32\"", "[3]", "[0,16]"), "does not match its data of 16 bytes"},
      {tensor("\"F32\"", "[5]", "[0,16]"), "F32 of shape [5] does not match"},
      {tensor("\"F32\"", "[3]", "[0,15]"), "does not match its data of 15 bytes"},
      {tensor("\"U8\"", "[4294967296,4294967296]", "[0,0]"), "does not match"},
      {R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
       R"("x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
       "the header names 'x' twice"},
  };
  for (const auto& item : cases) {
    write_by_hand(temporary.path, item.header, 16);
    const std::string error = error_of_reading(temporary.path);
    CAPTURE(item.header);
    CAPTURE(error);
    CHECK(error.rfind(temporary.path.string() + ": ", 0) == 0);
    CHECK(has(error, item.error));
    CHECK_FALSE(has(error, "\n"));
  }
  write_by_hand(temporary.path, tensor("\"F32\"", "[4]", "[0,16]"), 16);
  CHECK(error_of_reading(temporary.path) == "");
  // The checksum is taken of a copy, which needs stack for every level.
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  write_by_hand(temporary.path, R"({"__metadata__":{"checksum":"0"},"x":)" + deep + "}", 0);
  CHECK(has(error_of_reading(temporary.path), "the header is nested too deep"));
  std::string huge(8, '\xff');
  drnas::write_file_atomically(temporary.path, huge + "{}");
  CHECK(has(error_of_reading(temporary.path), "expected a header of 18446744073709551615 bytes"));
}

TEST_CASE("safetensors: unaligned and shared data of other writers are read") {
  const TemporaryFile temporary;
  write_by_hand(temporary.path,
                R"({"x":{"dtype":"I32","shape":[2],"data_offsets":[1,9]},)"
                R"("y":{"dtype":"I32","shape":[1],"data_offsets":[5,9]},)"
                R"("z":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})",
                12);
  const SafetensorsFile file(temporary.path);
  CHECK(file.values<std::int32_t>("x") == std::vector<std::int32_t>{0x04030201, 0x08070605});
  CHECK(file.values<std::int32_t>("y") == std::vector<std::int32_t>{0x08070605});
  CHECK(file.at("z").dtype == "BF16");
}

TEST_CASE("safetensors: files of the published implementation") {
  const char* folder = std::getenv("DRNAS_GOLDEN_DIR");
  if (folder == nullptr) {
    MESSAGE("skipped: DRNAS_GOLDEN_DIR is not set");
    return;
  }
  const auto numbers = [](const SafetensorsFile& file, const std::string& key) {
    return std::stoll(file.metadata_at(key));
  };
  for (const char* name : {"nb201_c8_n1_k1", "nb201_c8_n1_k2"}) {
    const SafetensorsFile file(fs::path(folder) / (std::string(name) + ".safetensors"));
    const std::int64_t batch = numbers(file, "batch"), classes = numbers(file, "classes");
    CHECK(numbers(file, "c") == 8);
    CHECK(file.at("theta").shape == Shape{6, 5});
    CHECK(file.at("logits").shape == Shape{batch, classes});
    CHECK(file.at("target").shape == Shape{batch});
    CHECK(file.at("input").shape.size() == 4);
    CHECK(file.at("loss").elements() == 1);
    for (const float theta : file.values<float>("theta")) CHECK((theta >= 0 && theta <= 1));
    for (const std::int64_t target : file.values<std::int64_t>("target"))
      CHECK((target >= 0 && target < classes));
    int gradients = 0;
    for (const auto& [key, entry] : file.entries()) {
      if (key.rfind("grad.", 0) != 0 || key == "grad.theta") continue;
      CHECK(file.at("init." + key.substr(5)).shape == entry.shape);
      ++gradients;
    }
    CHECK(gradients > 20);
  }
  for (const char* name : {"darts_search_c8_l3_k1", "darts_search_c8_l3_k2"}) {
    const SafetensorsFile file(fs::path(folder) / (std::string(name) + ".safetensors"));
    CHECK(file.at("theta.normal").shape == Shape{14, 7});
    CHECK(file.at("theta.reduce").shape == Shape{14, 7});
  }
}
