// SPDX-License-Identifier: MIT
// What programs of libFuzzer have beside their target.
#include <algorithm>

#include "tests/fuzz/fuzz.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace drnas::fuzz {

std::size_t change_for_libfuzzer(const Target& target, std::uint8_t* data, std::size_t size,
                                 std::size_t most, unsigned seed) {
  Rng rng(seed);
  const auto bytes = [&](Bytes& part) {
    if (rng() % 4 == 0) return change_at_random(part, rng);
    const std::size_t before = part.size();
    const std::size_t room = std::max<std::size_t>(before + 64, 128);
    part.resize(room);
    part.resize(LLVMFuzzerMutate(part.data(), before, room));
  };
  Bytes input(data, data + size);
  target.change(input, {rng, bytes});
  const std::size_t length = std::min(input.size(), most);
  std::copy_n(input.begin(), length, data);
  return length;
}

}  // namespace drnas::fuzz
