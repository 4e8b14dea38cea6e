// SPDX-License-Identifier: MIT
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

namespace drnas::fuzz {
namespace {

/// A random part: where it begins, and its length.
struct Part {
  std::ptrdiff_t begin, length;
};

Part random_part(const Bytes& bytes, Rng& rng, std::size_t longest) {
  const std::size_t begin = rng() % bytes.size();
  const std::size_t most = std::min(longest, bytes.size() - begin);
  return {static_cast<std::ptrdiff_t>(begin), static_cast<std::ptrdiff_t>(1 + rng() % most)};
}

void put_number(Bytes& bytes, Rng& rng) {
  constexpr std::uint64_t numbers[] = {
      0,           1,          0x7f,       0x80,       0xff,          0x7fff,
      0xffff,      0x10000,    0x7fffffff, 0x80000000, 0xffffffff,    0x100000000,
      0x3fffffff0, 1ull << 62, ~0ull >> 1, 1ull << 63, ~0ull - 0xfff, ~0ull};
  const std::uint64_t number = numbers[rng() % std::size(numbers)];
  const std::size_t width = std::min<std::size_t>(std::size_t{1} << rng() % 4, bytes.size());
  const std::size_t at = rng() % (bytes.size() - width + 1);
  const bool big_endian = rng() % 2 == 0;
  for (std::size_t i = 0; i < width; ++i)
    bytes[at + (big_endian ? width - 1 - i : i)] = static_cast<std::uint8_t>(number >> 8 * i);
}

bool is_digit(std::uint8_t byte) { return byte >= '0' && byte <= '9'; }

/// Puts another number for one that stands there in decimal digits.
void put_decimal(Bytes& bytes, Rng& rng) {
  constexpr const char* numbers[] = {"0",
                                     "-1",
                                     "1",
                                     "7",
                                     "255",
                                     "65536",
                                     "1000000",
                                     "2147483647",
                                     "4294967296",
                                     "9223372036854775807",
                                     "18446744073709551616",
                                     "1e999",
                                     "1.5",
                                     "-0.0",
                                     "1e-320",
                                     "nan"};
  const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(rng() % bytes.size());
  const auto first = std::find_if(from, bytes.end(), is_digit);
  const auto last = std::find_if_not(first, bytes.end(), is_digit);
  const std::string_view number = numbers[rng() % std::size(numbers)];
  bytes.insert(bytes.erase(first, last), number.begin(), number.end());
}

void put_text(Bytes& bytes, Rng& rng) {
  constexpr std::string_view texts[] = {"\n",      "\"",   "\\",   "{}",      "[]", ",",
                                        "=",       "\r\n", "#",    "'",       "/",  "../",
                                        "\\u0000", "null", "\xff", "\xc3\xa9"};
  const std::string_view text = texts[rng() % std::size(texts)];
  const auto at = static_cast<std::ptrdiff_t>(rng() % (bytes.size() + 1));
  bytes.insert(bytes.begin() + at, text.begin(), text.end());
}

/// Erases, repeats or moves a part.
void move_part(Bytes& bytes, Rng& rng) {
  const Part part = random_part(bytes, rng, rng() % 4 == 0 ? bytes.size() : 64);
  const auto first = bytes.begin() + part.begin;
  const Bytes piece(first, first + part.length);
  const unsigned what = rng() % 3;
  if (what != 0) bytes.erase(first, first + part.length);
  if (what == 1) return;
  const auto at = static_cast<std::ptrdiff_t>(rng() % (bytes.size() + 1));
  bytes.insert(bytes.begin() + at, piece.begin(), piece.end());
}

}  // namespace

Folder::Folder() {
  const fs::path memory = "/dev/shm";
  const bool given = ::getenv("TMPDIR") != nullptr;
  const bool usable = !given && ::access(memory.c_str(), W_OK | X_OK) == 0;
  std::string name = ((usable ? memory : fs::temp_directory_path()) / "drnas-fuzz-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path Folder::write(const std::string& name, Input content) const {
  const fs::path file = path_ / name;
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(content.data()),
            static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file.string());
  return file;
}

fs::path Folder::write(const std::string& name, std::string_view content) const {
  return write(name, as_input(content));
}

Bytes read_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + file.string());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<Input> split(Input input, std::size_t parts) {
  std::vector<Input> all;
  while (all.size() + 1 < parts) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(2, input.size()); ++i)
      length |= std::size_t{input[i]} << 8 * i;
    input = input.subspan(std::min<std::size_t>(2, input.size()));
    length = std::min(length, input.size());
    all.push_back(input.first(length));
    input = input.subspan(length);
  }
  all.push_back(input);
  return all;
}

Bytes joined(const std::vector<Bytes>& parts) {
  Bytes all;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    if (p + 1 < parts.size()) {
      if (parts[p].size() > 0xffff) throw std::length_error("a part of an input is too long");
      all.push_back(static_cast<std::uint8_t>(parts[p].size()));
      all.push_back(static_cast<std::uint8_t>(parts[p].size() >> 8));
    }
    all.insert(all.end(), parts[p].begin(), parts[p].end());
  }
  return all;
}

void change_part(Bytes& input, std::size_t parts, const Change& change,
                 const std::function<void(Bytes&)>& change_one) {
  std::vector<Bytes> all;
  for (const Input part : split(input, parts)) all.emplace_back(part.begin(), part.end());
  Bytes& chosen = all[change.rng() % parts];
  change_one(chosen);
  for (Bytes& part : all)
    if (part.size() > 0xffff) part.resize(0xffff);
  input = joined(all);
}

void change_at_random(Bytes& bytes, Rng& rng) {
  if (bytes.empty()) return bytes.push_back(static_cast<std::uint8_t>(rng()));
  switch (rng() % 8) {
    case 0:
      bytes[rng() % bytes.size()] ^= static_cast<std::uint8_t>(1u << rng() % 8);
      break;
    case 1:
      bytes[rng() % bytes.size()] = static_cast<std::uint8_t>(rng());
      break;
    case 2:
      put_number(bytes, rng);
      break;
    case 3:
    case 4:
      put_decimal(bytes, rng);
      break;
    case 5:
      put_text(bytes, rng);
      break;
    case 6:
      bytes.resize(rng() % bytes.size());
      break;
    default:
      move_part(bytes, rng);
  }
}

#ifndef DRNAS_LIBFUZZER
std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}
#endif

}  // namespace drnas::fuzz
