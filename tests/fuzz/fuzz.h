// SPDX-License-Identifier: MIT
// What the fuzz targets share. A target is a source target_NAME.cpp that ends in
// DRNAS_FUZZ_TARGET(NAME, read, change): with libFuzzer a program of its own (make fuzz), else one
// of those that run_corpora.cpp runs over the files of corpus/NAME.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/error.h"
#include "tests/support/random.h"

namespace drnas::fuzz {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;
using Input = std::span<const std::uint8_t>;
using test::Rng;

/// What a reader must never do, beside ending the process.
class Finding : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

inline void require(bool good, const std::string& what) {
  if (!good) throw Finding(what);
}

/// How an input is changed: `bytes` changes any bytes at random, also their number.
struct Change {
  Rng& rng;
  std::function<void(Bytes&)> bytes;

  /// True once in `times`.
  bool once_in(unsigned times) const { return rng() % times == 0; }
};

struct Target {
  const char* name;
  /// True where the reader accepted the input. Anything thrown is a finding: what a reader may
  /// throw is caught by accepts().
  bool (*read)(Input input);
  /// Changes an input with what it is in mind: lengths and checksums fit again.
  void (*change)(Bytes& input, const Change& change);
};

/// For formats without lengths and checksums.
inline void change_bytes(Bytes& input, const Change& change) { change.bytes(input); }

/// Runs a reader. False where it refuses with an Error, which must be one line.
template <class Read>
bool accepts(const Read& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    const std::string_view message = error.what();
    require(!message.empty() && message.find('\n') == message.npos,
            "expected a message of one line, found: " + std::string(message));
    return false;
  }
}

/// A folder of the process's own, in memory where the system has such a place.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const fs::path& path() const { return path_; }
  /// Writes a file anew and returns its path.
  fs::path write(const std::string& name, Input content) const;
  fs::path write(const std::string& name, std::string_view content) const;

 private:
  fs::path path_;
};

inline Input as_input(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(Input input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}
inline Bytes to_bytes(std::string_view text) { return {text.begin(), text.end()}; }
Bytes read_bytes(const fs::path& file);

/// Inputs of several files: a two-byte length, little-endian, before each but the last.
std::vector<Input> split(Input input, std::size_t parts);
Bytes joined(const std::vector<Bytes>& parts);
/// Changes one of the parts.
void change_part(Bytes& input, std::size_t parts, const Change& change,
                 const std::function<void(Bytes&)>& change_one);

/// A random change in the manner of fuzzers: bits, bytes, numbers of interesting size, decimal
/// numbers in text, pieces left out, repeated or moved.
void change_at_random(Bytes& bytes, Rng& rng);

#ifdef DRNAS_LIBFUZZER
/// LLVMFuzzerCustomMutator of a target.
std::size_t change_for_libfuzzer(const Target& target, std::uint8_t* data, std::size_t size,
                                 std::size_t most, unsigned seed);
#define DRNAS_FUZZ_TARGET(name, read, change)                                                \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {        \
    read({data, size});                                                                      \
    return 0;                                                                                \
  }                                                                                          \
  extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,       \
                                                 std::size_t most, unsigned seed) {          \
    return drnas::fuzz::change_for_libfuzzer({#name, read, change}, data, size, most, seed); \
  }
#else
/// All targets of the program.
std::vector<Target>& targets();
struct Registered {
  explicit Registered(const Target& target) { targets().push_back(target); }
};
#define DRNAS_FUZZ_TARGET(name, read, change) \
  static const drnas::fuzz::Registered name##_registered({#name, read, change});
#endif

}  // namespace drnas::fuzz
