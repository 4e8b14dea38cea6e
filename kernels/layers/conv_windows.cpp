// SPDX-License-Identifier: MIT
#include "kernels/layers/conv_windows.h"

#include <algorithm>

#include "kernels/core/shared_bytes.h"

namespace drnas::kernels {

ConvWindows ConvWindows::forward(const Conv2d& p) {
  ConvWindows out{p.n,     p.h,      p.w, p.c_in,   p.out_h(), p.out_w(),
                  p.c_out, p.stride, 1,   p.kernel, p.padding};
  out.weight_out = std::int64_t{p.kernel} * p.kernel * p.c_in;
  out.weight_in = 1;
  out.weight_tap = p.c_in;
  return out;
}

ConvWindows ConvWindows::backward(const Conv2d& p) {
  ConvWindows out{p.n,    p.out_h(), p.out_w(), p.c_out,  p.h,      p.w,
                  p.c_in, 1,         p.stride,  p.kernel, p.padding};
  out.weight_out = 1;
  out.weight_in = std::int64_t{p.kernel} * p.kernel * p.c_in;
  out.weight_tap = p.c_in;
  out.turned = true;
  return out;
}

namespace {

/// Columns in eights: the more of those that leave the fewest unused.
int columns_of(int channels) {
  const auto used = [&](int n) { return pixel_tiles::divide_up(channels, 8 * n) * n; };
  return used(4) <= used(2) ? 4 : 2;
}

}  // namespace

WindowTiling::WindowTiling(const ConvWindows& p, int chunk_channels) {
  using pixel_tiles::divide_up;
  constexpr int enough_tiles = 128;
  const int h = p.phase_extent(p.out_h), w = p.phase_extent(p.out_w),
            most_taps = divide_up(p.kernel, p.phases), all = divide_up(p.in_c, chunk_channels);
  n = columns_of(p.out_c);
  slices = divide_up(p.out_c, slice());
  for (const int pixels_of_warp : {2, 1}) {
    m = pixels_of_warp;
    const auto grid = cut_images(h, w, 16 * tile_warps * m);
    for (int of_pass = all; of_pass > 0; of_pass /= 2) {
      planes = TilePlanes(grid, p.stride, most_taps, of_pass);
      passes = divide_up(all, of_pass);
      chunks = chunks_of(most_taps * most_taps);
      if (shared_bytes() <= most_shared_bytes) break;
      passes = 0;
    }
    const bool wanted = grid.pixels() > 16 * tile_warps * m / 2 && tiles(p) >= enough_tiles;
    if (passes > 0 && (wanted || m == 1)) return;
  }
  m = 0;
}

std::size_t WindowTiling::shared_bytes() const { return WindowMemory(*this, nullptr).bytes; }

}  // namespace drnas::kernels
