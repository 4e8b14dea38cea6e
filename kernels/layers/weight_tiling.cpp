// SPDX-License-Identifier: MIT
#include "kernels/layers/weight_tiling.h"

#include <algorithm>

#include "kernels/core/shared_bytes.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::divide_up;

constexpr int most_grid_rows = 65535;

int windows_of(int kernel) {
  const int across = divide_up(kernel, WeightTiling::side);
  return across * across;
}

}  // namespace

void WeightTiling::choose_sizes(const WeightShape& p) {
  if (p.sizes > 1) {
    first = p.kernel[0] >= p.kernel[1] ? 0 : 1;
    second = 1 - first;
    pair = p.kernel[second] == 1;
  }
  first_windows = windows_of(p.kernel[first]);
  second_windows = second < 0 || pair ? 0 : windows_of(p.kernel[second]);
}

int WeightTiling::shares_of(const WeightShape& p, int chunk_channels) const {
  const double value_bytes = 16.0 / chunk_channels, pixels = static_cast<double>(p.n) * p.h * p.w,
               parts = static_cast<double>(p.weights()) * sizeof(float);
  double read = pixels * p.c * row_slices * value_bytes;
  for (int s = 0; s < p.sizes; ++s) read += 2 * pixels * p.rows[s] * channel_slices * value_bytes;
  const double affordable = read / 2 / (2 * parts);  // they are written and read
  const int most = std::max(1, std::min(tiles, wanted_blocks / blocks_of_share()));
  return static_cast<int>(std::clamp(affordable, 1.0, static_cast<double>(most)));
}

WeightTiling::WeightTiling(const WeightShape& p, int chunk_channels) {
  if (p.sizes == 0) return;
  choose_sizes(p);
  const int most_rows = std::max(p.rows[0], p.sizes > 1 ? p.rows[1] : 0);
  row_warps = p.c > row_unit && most_rows > row_unit ? 2 : 1;
  channel_warps = p.c > 2 * channel_unit ? 4 : p.c > channel_unit ? 2 : 1;
  row_slices = divide_up(most_rows, rows());
  channel_slices = divide_up(p.c, channels());
  for (int pixels = 256; pixels >= row_unit; pixels /= 2) {
    const auto grid = cut_images(p.h, p.w, pixels);
    x = TilePlanes(grid, p.stride, p.largest(), channels() / chunk_channels);
    dy = TilePlanes(grid, 1, 1, rows() / chunk_channels);
    if (shared_bytes() > most_shared_bytes) continue;
    const std::int64_t all = std::int64_t{p.n} * grid.tile_rows * grid.tile_columns;
    if (blocks_of_share() > most_grid_rows || all * grid.pixels() > INT32_MAX) return;
    tiles = static_cast<int>(all);
    shares = shares_of(p, chunk_channels);
    return;
  }
}

std::size_t WeightTiling::shared_bytes() const { return WeightMemory(*this, nullptr).bytes; }

}  // namespace drnas::kernels
