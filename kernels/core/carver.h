// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/parallel.h"

namespace drnas::kernels {

/// Hands out 256-byte aligned pieces of a workspace; with a null base it only counts.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<std::byte*>(base)) {}
  template <class T>
  T* take(std::int64_t count) {
    T* piece = reinterpret_cast<T*>(base_ + offset_);
    offset_ += round_up(count * static_cast<std::int64_t>(sizeof(T)), 256);
    return piece;
  }
  std::size_t bytes() const { return static_cast<std::size_t>(offset_); }

 private:
  std::byte* base_;
  std::int64_t offset_ = 0;
};

}  // namespace drnas::kernels
