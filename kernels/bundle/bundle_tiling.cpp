// SPDX-License-Identifier: MIT
#include "kernels/bundle/bundle_tiling.h"

#include <algorithm>
#include <optional>
#include <string>

#include "kernels/bundle/bundle_tile_memory.h"
#include "kernels/core/error.h"
#include "kernels/core/shared_bytes.h"

namespace drnas::kernels {
namespace {

int round_to(int value, int step) { return pixel_tiles::divide_up(value, step) * step; }

/// How far the largest convolution reads around a pixel.
int pixels_around(const ConvBundle& b) {
  int around = 0;
  for (int s = 0; s < b.sizes; ++s) around = std::max(around, b.kernel[s] / 2);
  return around;
}

int most_z_channels(const ConvBundle& b) {
  int most = 0;
  for (int s = 0; s < b.sizes; ++s) most = std::max(most, b.z_channels(s));
  return most;
}

/// The most columns, in eights and no more than `most`, of which slices hold one edge each.
int columns_of_edge(const ConvBundle& b, int most) {
  for (const int columns : {6, 4, 2})
    if (columns <= most && round_to(b.c, 8) % (8 * columns) == 0) return columns;
  return 1;
}

/// A bundle that takes at least as much shared memory as any part of the one that b belongs to.
ConvBundle largest_part(const ConvBundle& b) {
  ConvBundle one = b;
  one.sizes = ConvBundle::max_sizes;
  for (int s = 0; s < b.sizes; ++s) one.reach = std::max(one.reach, b.kernel[s]);
  for (int& kernel : one.kernel) kernel = one.reach;
  return one;
}

std::optional<BundleTile> preferred;

}  // namespace

void prefer_bundle_tile(const BundleTile* tile) {
  const auto among = [](int value, std::initializer_list<int> all) {
    return std::find(all.begin(), all.end(), value) != all.end();
  };
  if (tile && !(among(tile->m, {1, 2, 4}) && among(tile->n, {1, 2, 4, 6})))
    throw Error("no tile of " + std::to_string(tile->m) + " by " + std::to_string(tile->n));
  preferred = tile ? std::optional(*tile) : std::nullopt;
}

BundleTiling::BundleTiling(const ConvBundle& b, const TileLimits& limits, int m_, int n_)
    : TilePlanes(cut_images(b.h, b.w, 16 * tile_warps * m_), 1,
                 2 * std::max(pixels_around(b), limits.around) + 1,
                 pixel_tiles::divide_up(b.c, limits.chunk_channels)),
      m(m_),
      n(n_),
      inputs(limits.inputs) {
  using pixel_tiles::divide_up;
  slices = divide_up(most_z_channels(b), slice());
  for (int s = 0; s < b.sizes; ++s) chunks[s] = round_to(b.kernel[s] * b.kernel[s] * planes, 2);
}

int BundleTiling::warp_rows(const ConvBundle& b, const TileLimits& limits) {
  const ConvBundle largest = largest_part(b);
  for (const int rows : {4, 2, 1}) {
    const BundleTiling tiling(largest, limits, rows, 1);
    const bool wanted =
        tiling.grid.pixels() > 16 * tile_warps * rows / 2 && tiling.tiles(b) >= enough_tiles;
    if ((wanted || rows == 1) && tiling.shared_bytes() <= most_shared_bytes) return rows;
  }
  return 0;
}

double BundleTiling::cost(const ConvBundle& b, const TileLimits& limits) const {
  const double loads = limits.tensor ? 4 * m + 2 * n : 4 * m + 4 * n + 4 * m * n;
  const double waves = static_cast<double>(tiles(b)) * slices / multiprocessors;
  return std::max(waves, 1.0) * loads;
}

BundleTiling::BundleTiling(const ConvBundle& b, const TileLimits& limits, bool by_edge) {
  if (preferred && preferred->n <= limits.most_n) {
    *this = BundleTiling(b, limits, preferred->m, preferred->n);
    if (shared_bytes() <= most_shared_bytes) return;
    *this = {};
  }
  const int rows = warp_rows(b, limits);
  for (const int columns : {6, 4, 2, 1}) {
    if (rows == 0 || columns > limits.most_n) continue;
    const BundleTiling tiling(b, limits, rows, columns);
    if (tiling.shared_bytes() > most_shared_bytes) continue;
    // Several slices of eight would store halves of sectors.
    if (columns == 1 && tiling.slices > 1 && fits()) continue;
    if (!fits() || tiling.cost(b, limits) < cost(b, limits)) *this = tiling;
  }
  if (by_edge && fits()) *this = BundleTiling(b, limits, m, columns_of_edge(b, n));
}

std::size_t BundleTiling::shared_bytes() const { return TileMemory(*this, nullptr).bytes; }

}  // namespace drnas::kernels
