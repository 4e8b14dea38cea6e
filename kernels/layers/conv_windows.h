// SPDX-License-Identifier: MIT
// Sums over windows of images, which forward convolutions and gradients of their inputs both are,
// and how blocks take them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/tile_planes.h"
#include "kernels/layers/conv2d.h"

namespace drnas::kernels {

/// out[image, phases i + r, phases j + q, o] = sum over taps and channels c of
///   in[image, i stride + row of the tap, j stride + column of the tap, c] w[o, tap, c]
/// for phases (r, q) below `phases`, each with taps of its own; in is zero outside.
struct ConvWindows {
  int n, in_h, in_w, in_c;
  int out_h, out_w, out_c;
  int stride, phases;
  int kernel, padding;
  std::int64_t weight_out = 0,
               weight_in = 0;  ///< from output and input channel to the next
  int weight_tap = 0;          ///< from tap to tap
  bool turned = false;         ///< filters; else there is one phase

  static ConvWindows forward(const Conv2d& p);
  /// Of the gradient of the input: in is dy, out dx; `phases` is the convolution's stride.
  static ConvWindows backward(const Conv2d& p);

  /// Rows or columns of the largest phase, of so many in all.
  DRNAS_HD int phase_extent(int extent) const { return (extent + phases - 1) / phases; }
  /// Along one side: where windows begin in `in` at i = 0, how many taps, and which rows or columns
  /// of the filter these are: filter_first + filter_step t.
  struct Side {
    int begin, taps, filter_first, filter_step;
  };
  DRNAS_HD Side side(int phase) const {
    if (!turned) return {-padding, kernel, 0, 1};
    const int least = (phase + padding) % phases, taps = (kernel - least + phases - 1) / phases;
    return {(phase + padding - least) / phases - (taps - 1), taps, least + phases * (taps - 1),
            -phases};
  }
};

/// A block takes a tile of pixels of one phase, and a slice of output channels.
struct WindowTiling {
  int m = 0, n = 0;   ///< of a warp: pixels in sixteens (0: nothing fits), channels in eights
  TilePlanes planes;  ///< of what the tile's windows read; as many as one pass over depth takes
  int passes = 0;     ///< over depth
  int slices = 0;
  int chunks = 0;  ///< of weights of a pass, at the most

  WindowTiling() = default;
  WindowTiling(const ConvWindows& p, int chunk_channels);
  DRNAS_HD int slice() const { return 8 * n; }
  DRNAS_HD int weight_pitch() const { return slice() + 1; }
  /// Chunks of weights of a pass and so many taps, an even number.
  DRNAS_HD int chunks_of(int taps) const { return (taps * planes.planes + 1) / 2 * 2; }
  /// Of an image and phase.
  DRNAS_HD int tiles_of_image() const { return planes.grid.tile_rows * planes.grid.tile_columns; }
  std::int64_t tiles(const ConvWindows& p) const {
    return std::int64_t{p.n} * p.phases * p.phases * tiles_of_image();
  }
  bool fits() const { return m > 0; }
  std::size_t shared_bytes() const;
};

/// A block's shared memory.
struct WindowMemory {
  Bytes16* zeros;
  Bytes16* in;       ///< planes
  Bytes16* weights;  ///< [chunks][weight_pitch]
  int* offsets;      ///< of the chunks, see LeftOperand
  std::size_t bytes;

  DRNAS_HD WindowMemory(const WindowTiling& t, void* base) {
    SharedCarver carve{static_cast<unsigned char*>(base)};
    zeros = carve.take<Bytes16>(1);
    in = carve.take<Bytes16>(t.planes.count());
    weights = carve.take<Bytes16>(t.chunks * t.weight_pitch());
    offsets = carve.take<int>(t.chunks);
    bytes = carve.bytes;
  }
};

}  // namespace drnas::kernels
