// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <stdexcept>

namespace simt::check {

/// An array of zeros as large as address space has room: memory is taken where it is touched.
template <class T>
T* reserve(std::size_t count) {
  void* const memory = ::mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no address space for the checker");
  return static_cast<T*>(memory);
}

}  // namespace simt::check
