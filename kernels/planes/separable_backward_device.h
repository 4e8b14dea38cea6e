// SPDX-License-Identifier: MIT
// The workspace of the backward pass, and the gradients of taps from dd. Each warp takes tiles of
// its own, in shared memory of its own, and waits for no other.
#pragma once

#include "kernels/core/carver.h"
#include "kernels/core/warp_reduce.h"
#include "kernels/planes/separable_pointwise.h"

namespace drnas::kernels {
namespace {

constexpr int max_taps = separable_max_kernel * separable_max_kernel;

struct Backward {
  SeparableBackward p;
  PixelTiles tiles;   ///< of outputs, for the 1x1 half
  PixelTiles strips;  ///< of outputs, for the depthwise half
  int chunk;          ///< channels of d, and of dz, held at once
  int slots;          ///< blocks of a filter that share the tiles of all images
  int tap_slots;      ///< warps of a channel that share them
  int staging;        ///< floats of a warp's windows
  int at_once;        ///< channels of a warp in input_kernel
  int slot_blocks;    ///< that add up a filter's slots; 0: no gradients of weights
  float* dd;          ///< [filters, n, c, out pixels]
  float* pointwise;   ///< [filters, slots, c_out, c], slots weight_pitch() apart
  float* depthwise;   ///< [filters, tap_slots, c, taps], slots tap_pitch() apart
  float* sums;        ///< [filters, n, strip tiles, c, 2]: of dx and dx (x - mean)
  std::size_t bytes;

  Backward(const SeparableBackward& call, void* memory)
      : p(call),
        tiles(p.shape.out_h(), p.shape.out_w(), PointwiseChunk(p.shape).pixels),
        strips(p.shape.out_h(), p.shape.out_w(), p.shape.stride == 1 ? 256 : 128),
        chunk(PointwiseChunk(p.shape).channels),
        slots(slots_for(tiles, 2048, p.shape.filters)),
        tap_slots(slots_for(strips, 4096, p.shape.filters * p.shape.c)),
        staging(0),
        at_once(static_cast<int>(warp_lanes)),
        slot_blocks(0) {
    const Separable& s = p.shape;
    Carver carve(memory);
    dd = carve.take<float>(std::int64_t{s.filters} * s.n * s.c * tiles.pixels());
    pointwise = carve.take<float>(s.filters * slots * weight_pitch());
    depthwise = carve.take<float>(s.filters * tap_slots * tap_pitch(max_taps));
    sums = carve.take<float>(std::int64_t{s.filters} * s.n * strips.count() * s.c * 2);
    bytes = carve.bytes();
  }
  /// The call's filters say how much the warps hold, and what is to be added up.
  void place_filters() {
    const auto plan = [&](const SeparableFilter& f, bool inputs, const PixelTiles& t) {
      const auto shape = inputs ? &WindowShape::of_inputs : &WindowShape::of_outputs;
      return StripPlan(shape(f.kernel, f.dilation, p.shape.stride), f.kernel, t);
    };
    const auto hold = [&](const StripPlan& held, int planes) {
      staging = std::max(staging, planes * held.floats());
    };
    for (int f = 0; f < p.shape.filters; ++f) {
      at_once = std::min(at_once, plan(p.filter[f], true, strips).at_once);
      for (const PixelTiles* t : {&tiles, &strips}) {
        const StripPlan held = plan(p.filter[f], false, *t);
        hold(held, held.at_once);
      }
    }
    for (int f = 0; f < p.shape.filters; ++f) {
      hold(plan(p.filter[f], true, strips), at_once);
      if (p.dpointwise[f] || p.ddepthwise[f])
        slot_blocks = std::max(slot_blocks, blocks_of(weights()) + blocks_of(taps(f)));
    }
  }
  /// Blocks that add up the slots of so many elements, each 32.
  DRNAS_HD static int blocks_of(int elements) {
    return (elements + static_cast<int>(warp_lanes) - 1) / static_cast<int>(warp_lanes);
  }
  /// Elements of a filter's gradients.
  DRNAS_HD int weights() const { return p.shape.c_out * p.shape.c; }
  DRNAS_HD int taps(int f) const { return p.shape.c * p.filter[f].kernel * p.filter[f].kernel; }
  /// Floats of a warp in input_kernel, of which the windows are the last.
  DRNAS_HD int input_floats() const { return du_floats() * at_once + staging; }
  DRNAS_HD int du_floats() const { return strips.height * p.shape.stride * du_pitch(); }
  /// Of rows of du: strips of neighbouring rows lie in different banks.
  DRNAS_HD int du_pitch() const {
    const int columns = strips.width * p.shape.stride;
    return strips.width == 8 ? (p.shape.stride == 1 ? 12 : 24) : columns == 16 ? 24 : columns;
  }
  /// The same of taps_kernel, whose lanes hold up to 256 values of dd.
  DRNAS_HD int tap_floats() const { return 256 + staging; }
  DRNAS_HD float* dd_of(int f, int image) const {
    return dd + (std::int64_t{f} * p.shape.n + image) * p.shape.c * tiles.pixels();
  }
  /// Slots begin with a sector of memory, of eight floats.
  DRNAS_HD std::int64_t weight_pitch() const { return (std::int64_t{weights()} + 7) / 8 * 8; }
  DRNAS_HD std::int64_t tap_pitch(int taps) const {
    return (std::int64_t{p.shape.c} * taps + 7) / 8 * 8;
  }
  DRNAS_HD float* weights_of(int f) const { return pointwise + f * slots * weight_pitch(); }
  DRNAS_HD float* taps_of(int f) const { return depthwise + f * tap_slots * tap_pitch(max_taps); }
  __device__ bool runs(int f) const { return gate_open(p.gradient[f].gate); }
  DRNAS_HD bool wants_dd(int f) const { return wants_input_gradient(p, f) || p.ddepthwise[f]; }
  DRNAS_HD bool wants_sums(int f) const {
    return p.input_coefficients[f] || p.dgamma[f] || p.dbeta[f];
  }

 private:
  int slots_for(const PixelTiles& t, int most, int beside) const {
    return static_cast<int>(
        std::min<std::int64_t>(std::int64_t{p.shape.n} * t.count(), std::max(1, most / beside)));
  }
};
static_assert(sizeof(Backward) <= 4000);

/// Puts a tile of dd into a warp's shared memory, zeros outside the plane.
template <int V>
__device__ inline void load_tile(const PixelTiles& t, const TileCorner& corner, const float* plane,
                                 float* shared) {
  for (int at = lane_index() * V; at < t.area(); at += static_cast<int>(warp_lanes) * V) {
    const int i = at >> t.shift, j = at & (t.width - 1);
    float value[V] = {};
    if (corner.contains(t, i, j))
      load_vector(plane + std::int64_t{corner.top + i} * t.columns + corner.left + j, value);
    store_vector(shared + at, value);
  }
}

/// The taps' sums over the units of one slot, to shared[K*K].
template <int K, int D, int T, int V>
__device__ inline void tap_sums(const Backward& k, int f, int slot, int ch, float* shared) {
  constexpr WindowShape shape = WindowShape::of_outputs(K, D, T);
  const Separable& s = k.p.shape;
  const PixelTiles& t = k.strips;
  const StripPlan plan(shape, K, t);
  const StripPlace place = StripPlace::of<shape.dilation, shape.pair>(plan, t);
  const int tiles = t.count(), units = s.n * tiles;
  float* staging = shared + 256;
  float sum[(K * K + 31) / 32 * 32] = {};
  for (int base = slot; base < units; base += k.tap_slots * plan.at_once) {
    const int left = (units - base + k.tap_slots - 1) / k.tap_slots,
              here = left < plan.at_once ? left : plan.at_once;
    strips_of_planes(
        plan, place, shape.phases, here, staging,
        [&](int unit, float* to) {
          const int at = base + unit * k.tap_slots, image = at / tiles;
          const TileCorner corner(t, at - image * tiles);
          const DeviceInput u(s, k.p.filter[f].in, image, ch);
          load_window<V, shape.phases, shape.step, shape.margin>(shape, t, corner, u.plane,
                                                                 plan.pitch, to, u);
          load_tile<V>(t, corner, k.dd_of(f, image) + ch * t.pixels(), shared + unit * t.area());
        },
        [&](const StripPlace& at, const float* window, const float*) {
          float dd[shape.pair][4] = {};
          DRNAS_UNROLL
          for (int r = 0; r < shape.pair; ++r) {
            const int i = at.row + r * shape.dilation;
            if (i < t.height)
              load_vector(shared + at.plane * t.area() + i * t.width + at.column, dd[r]);
          }
          each_strip_tap<K, shape.dilation, shape.phases>(window, plan.pitch,
                                                          shape.phase_pitch(t.width),
                                                          [&](int r, int tap, const float(&x)[4]) {
                                                            DRNAS_UNROLL
                                                            for (int c = 0; c < 4; ++c)
                                                              sum[tap] += dd[r][c] * x[c];
                                                          });
        });
  }
  constexpr int parts = (K * K + 31) / 32, width = K == 3 ? 16 : 32;
  DRNAS_UNROLL
  for (int part = 0; part < parts; ++part) {
    float values[width];
    DRNAS_UNROLL
    for (int tap = 0; tap < width; ++tap) values[tap] = sum[part * 32 + tap];
    const float total = warp_sums(values);
    constexpr int lanes = static_cast<int>(warp_lanes) / width;
    const int tap = part * 32 + lane_index() / lanes;
    if (lane_index() % lanes == 0 && tap < K * K) shared[tap] = total;
  }
}

/// Blocks (x: four channels of slots, y: filters); those of a filter that does not run leave.
template <int T, int V>
__global__ void __launch_bounds__(separable_threads, 4) taps_kernel(Backward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y);
  if (!k.p.ddepthwise[f] || !k.runs(f)) return;
  const int first = static_cast<int>(blockIdx.x) * separable_warps, item = first + warp_index(),
            slot = item / s.c, items = k.tap_slots * s.c, pitch = k.tap_floats();
  float* shared = static_cast<float*>(shared_memory());
  if (slot < k.tap_slots)
    dispatch_filter(k.p.filter[f], [&]<int K, int D>() {
      tap_sums<K, D, T, V>(k, f, slot, item - slot * s.c, shared + warp_index() * pitch);
    });
  __syncthreads();
  // What the block's warps leave of a slot lies side by side.
  const int taps = k.p.filter[f].kernel * k.p.filter[f].kernel,
            here = items - first < separable_warps ? items - first : separable_warps;
  float* partial = k.taps_of(f);
  const int first_slot = first / s.c;
  for (MatrixWalk at(taps); at.row < here; at.next()) {
    int to = first_slot, ch = first - to * s.c + at.row;
    for (; ch >= s.c; ch -= s.c) ++to;
    partial[to * k.tap_pitch(taps) + ch * taps + at.column] = shared[at.row * pitch + at.column];
  }
}

}  // namespace
}  // namespace drnas::kernels
