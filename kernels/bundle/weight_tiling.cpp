// SPDX-License-Identifier: MIT
#include "kernels/bundle/weight_tiling.h"

#include <algorithm>

#include "kernels/core/shared_bytes.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::divide_up;

int windows_of(const ConvBundle& b, int size) {
  const int across = divide_up(b.kernel[size], WeightTiling::side);
  return across * across;
}

}  // namespace

void WeightTiling::choose_sizes(const ConvBundle& b) {
  if (b.sizes > 1) {
    first = b.kernel[0] >= b.kernel[1] ? 0 : 1;
    second = 1 - first;
    pair = b.kernel[second] == 1;
  }
  first_windows = windows_of(b, first);
  second_windows = second < 0 || pair ? 0 : windows_of(b, second);
}

int WeightTiling::shares_of(const ConvBundle& b, int chunk_channels) const {
  double parts = 0, read = 0;
  const double value_bytes = 16.0 / chunk_channels, pixels = static_cast<double>(b.pixels());
  for (int s = 0; s < b.sizes; ++s) {
    parts += static_cast<double>(b.weight_count(s)) * sizeof(float);
    read += 2 * pixels * b.rows(s) * channel_slices * value_bytes;
  }
  read += pixels * b.c * row_slices * value_bytes;
  const double affordable = read / 2 / (2 * parts);
  const std::int64_t most = std::min(u.tiles(b), std::int64_t{wanted_blocks / blocks_of_share()});
  return static_cast<int>(std::clamp(affordable, 1.0, std::max(1.0, static_cast<double>(most))));
}

WeightTiling::WeightTiling(const ConvBundle& b, int chunk_channels) {
  if (b.sizes == 0) return;
  choose_sizes(b);
  int rows_in_all = 0;
  for (int s = 0; s < b.sizes; ++s) rows_in_all = std::max(rows_in_all, b.z_channels(s));
  row_warps = b.c > row_unit ? 2 : 1;
  channel_warps = b.c > 2 * channel_unit ? 4 : b.c > channel_unit ? 2 : 1;
  row_slices = divide_up(rows_in_all, rows());
  channel_slices = divide_up(b.c, channels());
  for (int pixels = 256; pixels >= row_unit; pixels /= 2) {
    const auto grid = tiles_of(b, pixels);
    u = TilePlanes(grid, pixels_around(b), channels() / chunk_channels);
    dz = TilePlanes(grid, 0, rows() / chunk_channels);
    if (shared_bytes() > most_shared_bytes) continue;
    shares = shares_of(b, chunk_channels);
    return;
  }
}

std::size_t WeightTiling::shared_bytes() const { return WeightMemory(*this, nullptr).bytes; }

}  // namespace drnas::kernels
