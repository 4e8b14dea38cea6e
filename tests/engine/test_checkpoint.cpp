// SPDX-License-Identifier: MIT
#include "engine/parameters/checkpoint.h"
#include "engine/stream.h"

#include <cstring>

#include "engine/files.h"
#include "tests/support/option_files.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;
using test_files::TemporaryFolder;

namespace {

std::vector<std::byte> bits(const Tensor& t) {
  const auto* first = t.dtype() == DType::f64 ? reinterpret_cast<const std::byte*>(t.data<double>())
                                              : reinterpret_cast<const std::byte*>(t.data());
  return {first, first + static_cast<std::size_t>(t.elements()) * size_of(t.dtype())};
}

/// Two parameters and a statistic with random contents, or with another width or name.
ParameterStore make_store(std::uint64_t seed, int width = 5, const char* name = "b") {
  ParameterStore store;
  store.add("a", {3, 3, 3, 2}, Initial::uniform(18));
  store.add(name, {1, 1, 1, width}, Initial::uniform(2));
  store.add_statistic("a.mean", {1, 1, 1, 3}, 0);
  store.allocate(seed);
  auto rng = generator(seed);
  for (const Tensor* t : {&store.velocity(), &store.statistics_buffer()}) {
    const Doubles values = normals(rng, t->elements());
    std::copy(values.begin(), values.end(), t->data());
  }
  return store;
}

void save(const std::filesystem::path& path, const ParameterStore& store) {
  SafetensorsWriter writer;
  save_parameters(writer, store);
  writer.write(path);
}

/// The slices of a flat buffer; the padding between them is nobody's.
std::vector<float> slices(const std::vector<NamedSlice>& named, const Tensor& buffer) {
  std::vector<float> values;
  for (const NamedSlice& s : named)
    values.insert(values.end(), buffer.data() + s.offset,
                  buffer.data() + s.offset + s.shape.elements());
  return values;
}

std::vector<std::vector<float>> contents(const ParameterStore& s) {
  return {slices(s.parameters(), s.weights()), slices(s.parameters(), s.velocity()),
          slices(s.statistics(), s.statistics_buffer())};
}

}  // namespace

TEST_CASE("checkpoint: parameters come back bit by bit, by name") {
  const TemporaryFolder folder;
  const auto path = folder.path / "weights.safetensors";
  ParameterStore store = make_store(1);
  store.weights().data()[0] = -0.0f;
  store.weights().data()[1] = 1e-42f;  // a denormal
  save(path, store);
  const ParameterStore other = make_store(2);
  CHECK(contents(other) != contents(store));
  load_parameters(SafetensorsFile(path), other);
  CHECK(contents(other) == contents(store));
  CHECK(std::signbit(other.weights().data()[0]));
}

TEST_CASE("checkpoint: another shape and a missing tensor are named") {
  const TemporaryFolder folder;
  const auto path = folder.path / "weights.safetensors";
  save(path, make_store(1));
  const SafetensorsFile file(path);
  check_fails([&] { load_parameters(file, make_store(1, 6)); },
              {path.string(), "weights.b", "[1, 1, 1, 6]"});
  check_fails([&] { load_parameters(file, make_store(1, 5, "c")); }, {path.string(), "weights.c"});
}

TEST_CASE("checkpoint: tables come back bit by bit; float32 is refused") {
  const TemporaryFolder folder;
  const auto path = folder.path / "table.safetensors";
  auto rng = generator(92);
  const Doubles values = normals(rng, 30);
  const Shape shape{1, 1, 6, 5};
  const Tensor table(shape, MemoryTag::optimizer, Device::cpu, DType::f64);
  for (int i = 0; i < 30; ++i) table.data<double>()[i] = values[i] / 3;
  SafetensorsWriter writer;
  save_table(writer, "alpha", table);
  const std::vector<float> narrow(30, 1.0f);
  writer.add<float>("narrow", {1, 1, 6, 5}, narrow);
  writer.write(path);
  const Tensor read = Tensor::zeros(shape, MemoryTag::optimizer, Device::cpu, DType::f64);
  load_table(SafetensorsFile(path), "alpha", read);
  CHECK(bits(read) == bits(table));
  check_fails([&] { load_table(SafetensorsFile(path), "narrow", read); }, {"narrow"});
  check_fails([&] { load_table(SafetensorsFile(path), "beta", read); }, {"beta"});
}
