// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layers/conv2d.h"

namespace drnas::kernels {

/// One pass of a 3x3 convolution (stride 1, padding 1) by Winograd's F(m x m, 3x3) for one thread
/// (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"): 2.25 (m = 2) or 4 (m
/// = 4) times fewer multiplications than the direct sum. The weights, and the weight gradient that
/// backward_weight sums, are in the transformed domain: pack or unpack them once, run many times. A
/// plan is a small value; it may run on several threads at once, each with its own data and
/// scratch.
class WinogradPlan {
 public:
  static bool supports(const Conv2d& shape, ConvPass pass);
  static constexpr int channel_multiple = 8;

  /// `tile` is m: 2, 4, or 0 for the one with fewer multiplications on this image size. m = 4 loses
  /// about two bits more than m = 2 (relative L2 errors near 1e-6 and 3e-7 for 64 to 192 channels).
  WinogradPlan(const Conv2d& shape, ConvPass pass, int tile = 0);

  std::size_t packed_bytes() const;
  std::size_t scratch_bytes() const;
  /// Packs [rows, 3, 3, columns] (rows <= c_out, columns <= c_in); what is missing counts as zero.
  /// Runs on all threads.
  void pack(const float* weights, int rows, int columns, float* packed) const;
  /// The gradient [rows, 3, 3, columns] from the result of backward_weight.
  void unpack(const float* packed, float* weights, int rows, int columns) const;
  /// forward: x, packed weights -> y; backward_data: packed weights, y = dy -> x = dx;
  /// backward_weight: x, y = dy -> packed. With `accumulate` the result is added to what is there.
  /// x [n, h, w, c_in], y [n, h, w, c_out], dense.
  void run(const float* x, const float* packed, const float* y, void* scratch,
           bool accumulate = false) const;

  int tile() const { return tile_; }

 private:
  Conv2d shape_;
  ConvPass pass_;
  int tile_;
  int tiles_;        // of all images
  int block_tiles_;  // transformed together
};

}  // namespace drnas::kernels
