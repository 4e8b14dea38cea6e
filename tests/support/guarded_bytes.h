// SPDX-License-Identifier: MIT
// Memory between guard zones, which show writes beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace drnas::test {

/// Aligned as the engine aligns tensors. The zones are NaN in every format, so that what is read
/// from them spreads to results.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t bytes) : bytes_(bytes), storage_(bytes + 2 * zone + alignment) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data() + zone);
    first_ = zone + (alignment - address % alignment) % alignment;
    for (std::size_t i = 0; i < storage_.size(); ++i) storage_[i] = mark[i % 2];
  }
  unsigned char* data() { return storage_.data() + first_; }
  const unsigned char* data() const { return storage_.data() + first_; }
  bool intact() const {
    const auto marked = [&](std::size_t from, std::size_t to) {
      while (from < to && storage_[from] == mark[from % 2]) ++from;
      return from == to;
    };
    return marked(0, first_) && marked(first_ + bytes_, storage_.size());
  }

 private:
  static constexpr std::size_t zone = 256, alignment = 64;
  static constexpr unsigned char mark[] = {0xf6, 0xff};
  std::size_t bytes_, first_;
  std::vector<unsigned char> storage_;
};

}  // namespace drnas::test
