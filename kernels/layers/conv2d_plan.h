// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/layers/conv2d.h"

namespace drnas::kernels {

/// One pass of one convolution, prepared by oneDNN for a fixed shape and thread count, cached for
/// the life of the process. The weights it reads or writes are in oneDNN's own order: pack them
/// once, run many times.
class ConvPlan {
 public:
  /// The plan for a shape that `threads` threads run together; made at the first request. A plan
  /// for one thread may run on several threads at once, each with its own data. Fast where channel
  /// counts are multiples of `channel_multiple`.
  static const ConvPlan& get(const Conv2d& shape, ConvPass pass, int threads);
  static constexpr int channel_multiple = 8;

  ~ConvPlan();
  std::size_t packed_bytes() const;
  std::size_t scratch_bytes() const;
  /// Packs [rows, kernel, kernel, columns] (rows <= c_out, columns <= c_in) and fills the rest with
  /// zeros; `staging` holds weight_count() floats and is used only where padding is needed.
  void pack(const float* weights, int rows, int columns, float* packed, float* staging) const;
  /// The reverse of pack, for the result of a backward_weight pass.
  void unpack(const float* packed, float* weights, int rows, int columns, float* staging) const;
  /// forward: x, packed weights -> y; backward_data: packed weights, y = dy -> x = dx;
  /// backward_weight: x, y = dy -> packed.
  void run(const float* x, const float* packed, const float* y, void* scratch) const;

 private:
  struct Impl;
  explicit ConvPlan(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// "2.6.3" of the oneDNN library in use.
const char* onednn_version();

}  // namespace drnas::kernels
