// SPDX-License-Identifier: MIT
#include "engine/files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <random>
#include <thread>

#include "kernels/core/error.h"

namespace {

namespace fs = std::filesystem;
using drnas::Error;

/// A directory of its own, removed at the end of the test.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "drnas_files_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

std::vector<std::byte> random_bytes(std::size_t count, unsigned seed, unsigned values = 256) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random() % values);
  return bytes;
}

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

int temporaries(const fs::path& folder) {
  int count = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".tmp") ++count;
  return count;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::vector<std::byte> gzip(const std::vector<std::byte>& plain) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::vector<std::byte> packed(deflateBound(&stream, plain.size()));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// Polynomial division bit by bit, the definition of CRC-32.
std::uint32_t crc_by_definition(const std::vector<std::byte>& bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const std::byte b : bytes) {
    crc ^= static_cast<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
  }
  return ~crc;
}

}  // namespace

TEST_CASE("files: what is written is read back, and a second write replaces the first") {
  const Folder folder;
  const fs::path path = folder.path / "state.bin";
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{4096},
                                  std::size_t{1} << 20, (std::size_t{3} << 20) + 17}) {
    const auto bytes = random_bytes(count, static_cast<unsigned>(count));
    drnas::write_file_atomically(path, bytes);
    CHECK(drnas::read_file(path) == bytes);
    CHECK(fs::file_size(path) == count);
  }
  const std::string text("one\ntwo\0three", 13);
  drnas::write_file_atomically(path, text);
  CHECK(drnas::read_text_file(path) == text);
  CHECK(temporaries(folder.path) == 0);
}

TEST_CASE("files: a path without a directory is written in the current one") {
  const Folder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path);
  drnas::write_file_atomically("here.txt", std::string_view("x"));
  fs::current_path(before);
  CHECK(drnas::read_text_file(folder.path / "here.txt") == "x");
}

TEST_CASE("files: a reader beside a writer sees whole contents only") {
  const Folder folder;
  const fs::path path = folder.path / "log.txt";
  const std::string contents[2] = {std::string(200000, 'a'), std::string(100000, 'b')};
  drnas::write_file_atomically(path, contents[0]);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 40; ++i) drnas::write_file_atomically(path, contents[i % 2]);
    done = true;
  });
  int torn = 0;
  while (!done) {
    const std::string seen = drnas::read_text_file(path);
    if (seen != contents[0] && seen != contents[1]) ++torn;
  }
  writer.join();
  CHECK(torn == 0);
}

TEST_CASE("files: failures name the path and the reason") {
  const Folder folder;
  const fs::path missing = folder.path / "none" / "a.txt";
  const auto write = [](const fs::path& path) {
    return message_of([&] { drnas::write_file_atomically(path, std::string_view("text")); });
  };
  CHECK(write(missing) == "cannot write " + missing.string() + ": " + std::strerror(ENOENT));
  CHECK(message_of([&] { drnas::read_file(missing); }) ==
        "cannot read " + missing.string() + ": " + std::strerror(ENOENT));
  CHECK(message_of([&] { drnas::read_file(folder.path); }) ==
        "cannot read " + folder.path.string() + ": " + std::strerror(EISDIR));
  const fs::path sub = folder.path / "sub";
  fs::create_directory(sub);
  CHECK(write(sub) == "cannot write " + sub.string() + ": " + std::strerror(EISDIR));
  CHECK(temporaries(folder.path) == 0);
  if (geteuid() != 0) {  // root may write anywhere
    fs::permissions(sub, fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(write(sub / "a.txt") ==
          "cannot write " + (sub / "a.txt").string() + ": " + std::strerror(EACCES));
    fs::permissions(sub, fs::perms::owner_all);
  }
}

TEST_CASE("files: only regular files are read, and pipes are not waited for") {
  const Folder folder;
  const fs::path pipe = folder.path / "pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  for (const fs::path& path : {pipe, fs::path("/dev/zero"), fs::path("/dev/null")}) {
    const std::string expected =
        "cannot read " + path.string() + ": is no regular file, expected one";
    CHECK(message_of([&] { drnas::read_file(path); }) == expected);
    CHECK(message_of([&] { drnas::read_text_file(path); }) == expected);
    CHECK(message_of([&] { drnas::read_gzip_file(path); }) == expected);
  }
}

#ifndef __SANITIZE_ADDRESS__  // whose allocator ends the process instead
TEST_CASE("files: a file larger than memory is refused by name") {
  const Folder folder;
  const fs::path path = folder.path / "sparse";
  drnas::write_file_atomically(path, std::string_view("x"));
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  const rlimit small{rlim_t{1} << 36, before.rlim_max};  // less than the file, whatever is there
  fs::resize_file(path, std::uintmax_t{1} << 37);
  REQUIRE(setrlimit(RLIMIT_AS, &small) == 0);
  const std::string error = message_of([&] { drnas::read_file(path); });
  setrlimit(RLIMIT_AS, &before);
  CHECK(error == "cannot read " + path.string() + ": no memory for its 137438953473 bytes");
}
#endif

TEST_CASE("files: nothing that was put where a temporary file may come is followed or changed") {
  const Folder folder;
  const fs::path path = folder.path / "a.txt", other = folder.path / "thesis.txt";
  drnas::write_file_atomically(other, std::string_view("years"));
  fs::create_symlink(other, folder.path / "a.txt.tmp");
  drnas::write_file_atomically(path, std::string_view("new content"));
  CHECK(drnas::read_text_file(path) == "new content");
  CHECK(drnas::read_text_file(other) == "years");
  CHECK(fs::is_symlink(folder.path / "a.txt.tmp"));
}

TEST_CASE("files: a write removes what killed writers left, not what others are writing") {
  const Folder folder;
  const fs::path path = folder.path / "a.bin";
  const fs::path left = folder.path / "a.bin.0123abcd.tmp",
                 held = folder.path / "a.bin.beef0000.tmp";
  const fs::path foreign = folder.path / "a.bin.0123abcg.tmp",
                 longer = folder.path / "aa.bin.0123abcd.tmp";
  for (const fs::path& file : {left, held, foreign, longer})
    drnas::write_file_atomically(file, std::string_view("half"));
  const int descriptor = open(held.c_str(), O_RDONLY);
  REQUIRE(flock(descriptor, LOCK_EX | LOCK_NB) == 0);
  drnas::write_file_atomically(path, std::string_view("whole"));
  close(descriptor);
  CHECK_FALSE(fs::exists(left));
  for (const fs::path& file : {held, foreign, longer}) CHECK(fs::exists(file));
}

TEST_CASE("files: two writers of one file: one content wins, nothing is left") {
  const Folder folder;
  const fs::path path = folder.path / "a.bin";
  const std::string contents[2] = {std::string(300000, 'a'), std::string(200000, 'b')};
  std::string errors[2];
  const auto write = [&](int i) {
    errors[i] = message_of([&] {
      for (int n = 0; n < 30; ++n) drnas::write_file_atomically(path, contents[i]);
    });
  };
  std::thread other(write, 0);
  write(1);
  other.join();
  CHECK(errors[0] == "");
  CHECK(errors[1] == "");
  const std::string last = drnas::read_text_file(path);
  CHECK((last == contents[0] || last == contents[1]));
  CHECK(temporaries(folder.path) == 0);
}

TEST_CASE("files: a write that stops half way leaves the old content and no temporary file") {
  const Folder folder;
  const fs::path path = folder.path / "a.bin";
  drnas::write_file_atomically(path, std::string_view("old"));
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{8192, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto bytes = random_bytes(50000, 1);
  const std::string error = message_of([&] { drnas::write_file_atomically(path, bytes); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(error == "cannot write " + path.string() + ": " + std::strerror(EFBIG));
  CHECK(drnas::read_text_file(path) == "old");
  CHECK(temporaries(folder.path) == 0);
}

TEST_CASE("files: gzip, plain and several members") {
  const Folder folder;
  const fs::path path = folder.path / "images.gz";
  for (const std::size_t count : {0, 1, 1000, 3000000}) {
    const auto plain = random_bytes(count, 3, 7);
    drnas::write_file_atomically(path, gzip(plain));
    CHECK(drnas::read_gzip_file(path) == plain);
    drnas::write_file_atomically(folder.path / "images", plain);
    CHECK(drnas::read_gzip_file(folder.path / "images") == plain);
  }
  const auto first = random_bytes(1000, 4), second = random_bytes(500, 5);
  auto both = gzip(first), expected = first;
  const auto packed = gzip(second);
  both.insert(both.end(), packed.begin(), packed.end());
  expected.insert(expected.end(), second.begin(), second.end());
  drnas::write_file_atomically(path, both);
  CHECK(drnas::read_gzip_file(path) == expected);
}

TEST_CASE("files: of a gzip file no more is unpacked than is asked for") {
  const Folder folder;
  const fs::path path = folder.path / "images.gz", plain_path = folder.path / "images";
  const auto plain = random_bytes(300000, 9, 7);
  auto packed = gzip(plain);
  drnas::write_file_atomically(path, packed);
  drnas::write_file_atomically(plain_path, plain);
  for (const std::size_t most : {0, 1, 16, 70000, 299999, 300000, 300001, 1000000}) {
    CAPTURE(most);
    const auto end = plain.begin() + static_cast<std::ptrdiff_t>(std::min(most, plain.size()));
    CHECK(drnas::read_gzip_file(path, most) == std::vector(plain.begin(), end));
    CHECK(drnas::read_gzip_file(plain_path, most) == std::vector(plain.begin(), end));
  }
  packed[packed.size() - 5] ^= std::byte{1};  // its CRC is seen where all of it is asked for
  drnas::write_file_atomically(path, packed);
  CHECK(has(message_of([&] { drnas::read_gzip_file(path, plain.size() + 1); }), "damaged"));
}

TEST_CASE("files: a gzip file cut anywhere is reported") {
  const Folder folder;
  const fs::path path = folder.path / "labels.gz";
  const auto packed = gzip(random_bytes(2000, 6, 5));
  for (std::size_t length = 0; length < packed.size();
       length += length < 24 || length + 24 > packed.size() ? 1 : 13) {
    drnas::write_file_atomically(path, std::span(packed).first(length));
    const std::string error = message_of([&] { drnas::read_gzip_file(path); });
    CAPTURE(length);
    CHECK(has(error, path.string() + ": gzip data is cut short"));
  }
}

TEST_CASE("files: a gzip file with any flipped bit in data, CRC or length is reported") {
  const Folder folder;
  const fs::path path = folder.path / "labels.gz";
  const auto plain = random_bytes(600, 8, 11);
  const auto packed = gzip(plain);
  constexpr std::size_t header = 10;
  for (std::size_t at = header; at < packed.size(); at += 3) {
    auto damaged = packed;
    damaged[at] ^= static_cast<std::byte>(1u << (at % 8));
    drnas::write_file_atomically(path, damaged);
    std::vector<std::byte> read;
    const std::string error = message_of([&] { read = drnas::read_gzip_file(path); });
    CAPTURE(at);
    CHECK((has(error, path.string() + ": gzip data is") || read == plain));
  }
  for (const std::size_t from_end : {1, 4, 5, 8}) {  // length, then CRC
    auto damaged = packed;
    damaged[packed.size() - from_end] ^= std::byte{0x10};
    drnas::write_file_atomically(path, damaged);
    CHECK(has(message_of([&] { drnas::read_gzip_file(path); }), "gzip data is damaged"));
  }
  auto trailing = packed;
  for (int i = 0; i < 20; ++i) trailing.push_back(std::byte{0x55});
  drnas::write_file_atomically(path, trailing);
  CHECK(has(message_of([&] { drnas::read_gzip_file(path); }), "gzip data is damaged"));
}

TEST_CASE("files: checksum is CRC-32") {
  const auto as_bytes = [](std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  };
  CHECK(drnas::checksum(as_bytes("123456789")) == 0xcbf43926u);
  CHECK(drnas::checksum({}) == 0u);
  CHECK(drnas::checksum({}, 0xcbf43926u) == 0xcbf43926u);
  for (unsigned seed = 0; seed < 20; ++seed) {
    const auto bytes = random_bytes(1 + seed * 137, seed);
    CHECK(drnas::checksum(bytes) == crc_by_definition(bytes));
    const std::span<const std::byte> all(bytes);
    const std::size_t cut = bytes.size() * seed / 20;
    CHECK(drnas::checksum(all.subspan(cut), drnas::checksum(all.first(cut))) ==
          crc_by_definition(bytes));
  }
}
