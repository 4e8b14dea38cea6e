// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace simt::check {

/// Names of places in this program, which addr2line of binutils looks up. An address alone where
/// there is none.
class Symbols {
 public:
  /// "node_mix_backward.cu:93": of the instruction before a return address, seen through what is
  /// inlined from the executor's own headers.
  static std::string line(const void* site);
  /// A function's file and own name, without namespaces, arguments and template arguments:
  /// "node_mix_backward::reduce_kernel".
  static std::string function(const void* address);

  /// An address of the program's code in four bytes, and back.
  static std::uint32_t offset(const void* address);
  static const void* address(std::uint32_t offset);
};

}  // namespace simt::check
