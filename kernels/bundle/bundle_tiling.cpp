// SPDX-License-Identifier: MIT
#include "kernels/bundle/bundle_tiling.h"

#include <algorithm>
#include <optional>

#include "kernels/bundle/bundle_tile_memory.h"

namespace drnas::kernels {
namespace {

int round_to(int value, int step) { return pixel_tiles::divide_up(value, step) * step; }

/// Planes whose first pixels lie in different banks, as do those of the next pixels.
int spread(int pixels, int planes) {
  const int banks = 8, residue = planes < banks && banks % planes == 0 ? banks / planes % banks : 1;
  return pixels + (residue - pixels % banks + banks) % banks;
}

int most_z_channels(const ConvBundle& b) {
  int most = 0;
  for (int s = 0; s < b.sizes; ++s) most = std::max(most, b.z_channels(s));
  return most;
}

/// The most columns, in eights and no more than `most`, that hold one edge.
int columns_of_edge(const ConvBundle& b, int most) {
  for (const int columns : {6, 4, 2})
    if (columns <= most && 8 * columns <= round_to(b.c, 8)) return columns;
  return 1;
}

std::optional<BundleTile> preferred;

}  // namespace

void prefer_bundle_tile(const BundleTile* tile) {
  preferred = tile ? std::optional(*tile) : std::nullopt;
}

BundleTiling::BundleTiling(const ConvBundle& b, const TileLimits& limits, int m_, int n_)
    : m(m_), n(n_) {
  using pixel_tiles::divide_up;
  const int pixels = 16 * tile_warps * m;
  grid.cut(b.h, b.w, b.h, most_columns);
  grid.cut(b.h, b.w, std::max(1, pixels / grid.columns), most_columns);
  for (int s = 0; s < b.sizes; ++s) halo = std::max(halo, b.kernel[s] / 2);
  planes = divide_up(b.c, limits.chunk_channels);
  row_pitch = grid.columns + 2 * halo;
  plane_pitch = spread((grid.rows + 2 * halo) * row_pitch, planes);
  slices = divide_up(most_z_channels(b), slice());
  for (int s = 0; s < b.sizes; ++s) chunks[s] = round_to(b.kernel[s] * b.kernel[s] * planes, 2);
}

BundleTiling::BundleTiling(const ConvBundle& b, const TileLimits& limits, bool by_edge) {
  if (preferred && preferred->n <= limits.most_n) {
    *this = BundleTiling(b, limits, preferred->m, preferred->n);
    if (shared_bytes() <= most_shared) return;
    *this = {};
  }
  int least = 0;
  for (const int columns : {6, 4, 2, 1}) {
    if (columns > limits.most_n) continue;
    BundleTiling best;
    for (const int rows : {4, 2, 1}) {
      const BundleTiling tiling(b, limits, rows, columns);
      const bool filled = tiling.grid.pixels() > 16 * tile_warps * rows / 2 || rows == 1;
      if (!filled || tiling.shared_bytes() > most_shared) continue;
      best = tiling;
      if (tiling.tiles(b) * tiling.slices >= enough_blocks) break;
    }
    const int padded = best.slices * best.slice();
    if (!best.fits() || (fits() && padded >= least)) continue;
    least = padded;
    *this = best;
  }
  if (by_edge && fits()) *this = BundleTiling(b, limits, m, columns_of_edge(b, n));
}

std::size_t BundleTiling::shared_bytes() const { return TileMemory(*this, nullptr).bytes; }

}  // namespace drnas::kernels
