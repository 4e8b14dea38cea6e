// SPDX-License-Identifier: MIT
// The gradient of a bundle's weights by tiles: dW = dz * u, a sum over all pixels of outer products
// of channels (weight_product.h). u is rectified, and dz mostly formed, as a block loads its tile.
#include "kernels/bundle/bundle_tile_weights.h"

#include "kernels/bundle/bundle_differential.h"
#include "kernels/bundle/weight_sums.h"
#include "kernels/layers/weight_product.h"

namespace drnas::kernels {
namespace {

template <class T>
struct Weights {
  BundleDifferential<T> d;
  WeightShape shape;
  WeightTiling t;
  int width;  ///< of loads of x
  float* parts;
};

template <class Numbers, class T>
__device__ void load_block(const Weights<T>& k, const WeightBlock& block,
                           const pixel_tiles::Tile& tile, const WeightMemory& memory) {
  constexpr int E = chunk_channels<Numbers>;
  const ConvBundle& b = k.d.p.bundle;
  const auto load = [&](const TilePlanes& planes, Bytes16* to, const auto& prepare) {
    load_tile<Numbers, WeightTiling::threads>(b, planes, tile, chunks_at<Numbers>(to), prepare);
  };
  load(k.t.x, memory.x, rectified<Numbers>(b, k.d.p.x, k.width, block.first_channel));
  // One size after the other: a warp's sums leave no registers for both.
  const auto load_rows = [&](int s, int place) {
    load(k.t.dy, memory.dy(place), [&, s](int at) {
      return DifferentialChunk<Numbers, true, T>(k.d, s, block.first_row + at, E, E);
    });
  };
  load_rows(block.size, 0);
  if (block.single >= 0) load_rows(block.single, 1);
}

/// Is there something of the block that is wanted and runs?
template <class T>
__device__ bool block_runs(const Weights<T>& k, const WeightBlock& block) {
  const auto open = [&](int s) {
    return k.d.p.dweight[s] &&
           k.d.p.gates.open_rows(k.d.p.bundle, s, block.first_row, block.first_row + k.t.rows());
  };
  return open(block.size) || (block.single >= 0 && open(block.single));
}

/// Grid (shares, blocks of a share).
template <class Numbers, class T>
__global__ void __launch_bounds__(WeightTiling::threads, resident_weight_blocks<Numbers>)
    weight_kernel(Weights<T> k) {
  const WeightBlock block(k.shape, k.t, static_cast<int>(blockIdx.y));
  if (!block_runs(k, block)) return;
  const WeightMemory memory(k.t, shared_memory());
  leave_part<Numbers>(
      k.shape, k.t, block, memory, static_cast<int>(blockIdx.x), k.parts,
      [&](const pixel_tiles::Tile& tile) { load_block<Numbers>(k, block, tile, memory); });
}

__global__ void __launch_bounds__(bundle_threads) add_weights_kernel(WeightSums sums) {
  add_weight(sums, global_thread());
}

WeightShape shape_of(const ConvBundle& b) {
  WeightShape shape{b.n, b.h, b.w, b.c, 1, 0, b.sizes, {}, {}};
  for (int s = 0; s < b.sizes; ++s) {
    shape.kernel[s] = b.kernel[s];
    shape.rows[s] = b.rows(s);
  }
  shape.padding = shape.largest() / 2;
  return shape;
}

template <class T>
WeightTiling tiling_of(const ConvBundle& b) {
  return with_numbers<T>(
      [&]<class Numbers>() { return WeightTiling(shape_of(b), chunk_channels<Numbers>); });
}

}  // namespace

template <class T>
bool runs_weight_tiles(const ConvBundle& b) {
  return wants_tiles() && tiling_of<T>(b).fits();
}

template <class T>
std::int64_t weight_parts(const ConvBundle& b) {
  return tiling_of<T>(b).shares * shape_of(b).weights();
}

template <class T>
WeightSums bundle_tile_weights(const TileWeights<T>& p, Stream stream) {
  const ConvBundle& b = p.p.bundle;
  const WeightTiling t = tiling_of<T>(b);
  Weights<T> k{BundleDifferential<T>(p.p), shape_of(b), t, 1, p.parts};
  std::copy_n(p.dz, b.sizes, k.d.stored);
  with_numbers<T>([&]<class Numbers>() {
    k.width = load_width<Numbers>(b.c);
    launch("conv_bundle_weights", weight_kernel<Numbers, T>, weight_launch(t), stream, k);
  });
  WeightSums sums{p.parts, t.shares, k.shape.weights(), {}, b.weight_count(0), {}, p.p.gates};
  for (int s = 0; s < b.sizes; ++s) {
    sums.slot_weights[s] = b.c * b.kernel[s] * b.kernel[s] * b.c;
    sums.to[s] = p.p.dweight[s];
  }
  return sums;
}

void bundle_add_weights(const WeightSums& sums, Stream stream) {
  launch("conv_bundle_add_weights", add_weights_kernel,
         {blocks_for(sums.weights, bundle_threads), bundle_threads}, stream, sums);
}

template bool runs_weight_tiles<float>(const ConvBundle&);
template bool runs_weight_tiles<bfloat16>(const ConvBundle&);
template std::int64_t weight_parts<float>(const ConvBundle&);
template std::int64_t weight_parts<bfloat16>(const ConvBundle&);
template WeightSums bundle_tile_weights<float>(const TileWeights<float>&, Stream);
template WeightSums bundle_tile_weights<bfloat16>(const TileWeights<bfloat16>&, Stream);

}  // namespace drnas::kernels
