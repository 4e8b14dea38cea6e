// SPDX-License-Identifier: MIT
// The last kernel of the backward pass: gradients of inputs from dd, by warps as those of the taps,
// and the sums that the kernels before and its own blocks left.
#pragma once

#include "kernels/planes/separable_backward_device.h"
#include "kernels/planes/separable_finish.h"

namespace drnas::kernels {
namespace {

/// to (+)= the sums of a strip's row; where there are eight, lanes take turns with the halves, so
/// that neighbours meet different banks.
template <int N>
__device__ inline void put_sums(float* to, const float (&values)[N], bool add) {
  const bool turn = N == 8 && lane_index() / 4 % 2;
  DRNAS_UNROLL
  for (int half = 0; half < N / 4; ++half) {
    const bool second = (half == 1) != turn;
    float sum[4];
    DRNAS_UNROLL
    for (int k = 0; k < 4; ++k) sum[k] = second ? values[N - 4 + k] : values[k];
    float* own = to + (second ? 4 : 0);
    if (add) {
      float before[4];
      load_vector(own, before);
      DRNAS_UNROLL
      for (int k = 0; k < 4; ++k) sum[k] += before[k];
    }
    store_vector(own, sum);
  }
}

/// du (+)= the strips' sums of one filter, `here` channels from `first` on; du: [channels][rows and
/// columns of the input that the tile stands for].
template <int K, int D, int T, int V>
__device__ inline void add_input_gradient(const Backward& k, int f, const TileCorner& corner,
                                          int image, int first, int here, float* staging, float* du,
                                          bool add) {
  constexpr WindowShape shape = WindowShape::of_inputs(K, D, T);
  constexpr bool transposed = T == 2 && D == 1;
  const PixelTiles& t = k.strips;
  const StripPlan plan(shape, K, t);
  const int pitch = k.du_pitch();
  strips_of_planes(
      plan, StripPlace::of<shape.dilation, shape.pair>(plan, t), 1, here, staging,
      [&](int ch, float* to) {
        const PlaneView dd{k.dd_of(f, image) + (first + ch) * t.pixels(), t.rows, t.columns};
        load_window<V, 1, 1, shape.margin>(shape, t, corner, dd, plan.pitch, to,
                                           [](float value) { return value; });
        stage_weights<K, !transposed>(k.p.filter[f].depthwise + std::int64_t{first + ch} * K * K,
                                      to + plan.window);
      },
      [&](const StripPlace& at, const float* window, const float* weights) {
        float* own = du + at.plane * k.du_floats() + at.row * T * pitch + at.column * T;
        if constexpr (transposed) {
          const TransposedStrip<K> strip(window, plan.pitch, weights);
          put_sums(own, strip.sum[0], add);
          put_sums(own + pitch, strip.sum[1], add);
        } else {
          const Strip<K, shape.dilation, 1> strip(window, plan.pitch, 0, weights);
          DRNAS_UNROLL
          for (int r = 0; r < 2; ++r) {
            if (at.row + r * shape.dilation >= t.height) continue;
            float* to = own + r * shape.dilation * T * pitch;
            if constexpr (T == 1) {
              put_sums(to, strip.sum[r], add);
            } else {
              // Odd rows and columns of the input meet no tap of a dilated filter.
              const float(&sum)[4] = strip.sum[r];
              put_sums(to, {sum[0], 0.0f, sum[1], 0.0f, sum[2], 0.0f, sum[3], 0.0f}, add);
              if (!add) put_sums(to + pitch, {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, add);
            }
          }
        }
      });
}

/// dx (+)= du where u > 0, for the tile of one channel, and the sums of what was added.
template <int T, int V>
__device__ inline void write_input_gradient(const Backward& k, int f, const TileCorner& corner,
                                            int image, int ch, const float* du, float (&sums)[2]) {
  const Separable& s = k.p.shape;
  const SeparableInput& in = k.p.filter[f].in;
  const DeviceInput u(s, in, image, ch);
  const float centre = in.mean ? in.mean[ch] : 0.0f;
  const int shift = k.strips.shift + T - 1, columns = 1 << shift, count = k.strips.area() * T * T;
  float* dx = k.p.dx[f].data;
  if (dx) dx += image * k.p.dx[f].stride + std::int64_t{ch} * s.h * s.w;
  for (int at = lane_index() * V; at < count; at += static_cast<int>(warp_lanes) * V) {
    const int i = at >> shift, j = at & (columns - 1), y = corner.top * T + i,
              x = corner.left * T + j;
    if (y >= s.h || x >= s.w) continue;
    const std::int64_t place = std::int64_t{y} * s.w + x;
    float input[V], value[V], before[V] = {};
    load_vector(u.plane.data + place, input);
    load_vector(du + i * k.du_pitch() + j, value);
    if (dx && k.p.accumulate) load_vector(dx + place, before);
    DRNAS_UNROLL
    for (int v = 0; v < V; ++v) {
      value[v] = before[v] + (u(input[v]) > 0.0f ? value[v] : 0.0f);
      sums[0] += value[v];
      sums[1] += value[v] * (input[v] - centre);
    }
    if (dx) store_vector(dx + place, value);
  }
}

/// dx = 0 for the tile of one channel.
template <int T, int V>
__device__ inline void clear_input_gradient(const Backward& k, int f, const TileCorner& corner,
                                            int image, int ch) {
  const Separable& s = k.p.shape;
  const int shift = k.strips.shift + T - 1, columns = 1 << shift, count = k.strips.area() * T * T;
  float* dx = k.p.dx[f].data + image * k.p.dx[f].stride + std::int64_t{ch} * s.h * s.w;
  for (int at = lane_index() * V; at < count; at += static_cast<int>(warp_lanes) * V) {
    const int y = corner.top * T + (at >> shift), x = corner.left * T + (at & (columns - 1));
    const float zeros[V] = {};
    if (y < s.h && x < s.w) store_vector(dx + std::int64_t{y} * s.w + x, zeros);
  }
}

/// The gradients of a filter that does not run, by those of its blocks that this takes.
__device__ inline void clear_gradients(const Backward& k, int f, int block) {
  const int i = block * static_cast<int>(separable_threads) + static_cast<int>(threadIdx.x),
            tap = i - k.weights();
  if (tap < 0 && k.p.dpointwise[f]) k.p.dpointwise[f][i] = 0.0f;
  if (tap >= 0 && tap < k.taps(f) && k.p.ddepthwise[f]) k.p.ddepthwise[f][tap] = 0.0f;
}

/// Of a block's 32 elements of a filter's gradients, weights of the 1x1 before taps: the sum over
/// slots, of which each warp adds every fourth.
__device__ inline void add_slots(const Backward& k, int f, int block) {
  if (!k.runs(f)) return clear_gradients(k, f, block);
  float* shared = static_cast<float*>(shared_memory());  // [warps, 32]
  const bool depthwise = block >= k.blocks_of(k.weights());
  const int count = depthwise ? k.taps(f) : k.weights(), slots = depthwise ? k.tap_slots : k.slots,
            first = depthwise ? block - k.blocks_of(k.weights()) : block,
            i = first * static_cast<int>(warp_lanes) + lane_index();
  float* out = depthwise ? k.p.ddepthwise[f] : k.p.dpointwise[f];
  const float* from = depthwise ? k.taps_of(f) : k.weights_of(f);
  const std::int64_t pitch = depthwise ? k.tap_pitch(count / k.p.shape.c) : k.weight_pitch();
  if (!out || first >= k.blocks_of(count)) return;
  float sum = 0.0f;
  for (int slot = warp_index(); slot < slots && i < count; slot += separable_warps)
    sum += from[slot * pitch + i];
  shared[threadIdx.x] = sum;
  __syncthreads();
  if (warp_index() > 0 || i >= count) return;
  for (int w = 1; w < separable_warps; ++w)
    sum += shared[w * static_cast<int>(warp_lanes) + lane_index()];
  out[i] = sum;
}

/// Gradients of gamma and beta and the input's coefficients, of one channel, from its sums.
__device__ inline void finish_input(const Backward& k, int f, int ch, double sum, double product) {
  const Separable& s = k.p.shape;
  const SeparableInput& in = k.p.filter[f].in;
  const double inv_std = in.mean ? in.inv_std[ch] : 1.0, hat = product * inv_std;
  if (k.p.dgamma[f]) k.p.dgamma[f][ch] = static_cast<float>(hat);
  if (k.p.dbeta[f]) k.p.dbeta[f][ch] = static_cast<float>(sum);
  float* out = k.p.input_coefficients[f];
  if (!out) return;
  const double count = k.p.count(), a = (in.gamma ? in.gamma[ch] : 1.0f) * inv_std,
               b = -a * hat * inv_std / count;
  out[ch] = static_cast<float>(a);
  out[s.c + ch] = static_cast<float>(b);
  out[2 * s.c + ch] = static_cast<float>(-a * sum / count - b * (in.mean ? in.mean[ch] : 0.0f));
}

/// The same of all channels of the filters [first, last), which share dx, by one block.
__device__ inline void finish_inputs(const Backward& k, int first, int last, double* shared) {
  const Separable& s = k.p.shape;
  const int units = s.n * k.strips.count();
  const float* from = k.sums + std::int64_t{first} * units * s.c * 2;
  finish_each_column(
      s.c, shared,
      [&](int ch, int row, double(&sums)[2]) {
        for (int unit = row; unit < units; unit += finish_rows) {
          float both[2];
          load_vector(from + (std::int64_t{unit} * s.c + ch) * 2, both);
          sums[0] += both[0];
          sums[1] += both[1];
        }
      },
      [&](int ch, const double(&sums)[2]) {
        for (int f = first; f < last; ++f)
          if (k.wants_sums(f)) finish_input(k, f, ch, sums[0], sums[1]);
      });
}

/// A warp's tile, of some channels of an image: the gradient of the input of the filters [f, last)
/// that run, of which `runs` is the first, and, where wanted, its sums.
template <int T, int V>
__device__ inline void input_gradient(const Backward& k, int f, int runs, int last, bool wants_sums,
                                      int unit) {
  const Separable& s = k.p.shape;
  const int tiles = k.strips.count(), groups = (s.c + k.at_once - 1) / k.at_once;
  if (unit >= s.n * groups * tiles) return;
  const int tile = unit % tiles, group = unit / tiles % groups, image = unit / tiles / groups,
            first = group * k.at_once, here = s.c - first < k.at_once ? s.c - first : k.at_once;
  const TileCorner corner(k.strips, tile);
  float* du = static_cast<float*>(shared_memory()) + warp_index() * k.input_floats();
  float* staging = du + k.du_floats() * k.at_once;
  if (runs == last) {
    for (int ch = 0; ch < here; ++ch) clear_input_gradient<T, V>(k, f, corner, image, first + ch);
    return;
  }
  for (int g = runs; g < last; ++g) {
    if (!k.runs(g)) continue;
    dispatch_filter(k.p.filter[g], [&]<int K, int D>() {
      add_input_gradient<K, D, T, V>(k, g, corner, image, first, here, staging, du, g > runs);
    });
  }
  for (int ch = 0; ch < here; ++ch) {
    float sum[2] = {};
    write_input_gradient<T, V>(k, f, corner, image, first + ch, du + ch * k.du_floats(), sum);
    if (!wants_sums) continue;
    for (float& value : sum) value = warp_sum(value);
    const std::int64_t place = (std::int64_t{f} * s.n + image) * tiles + tile;
    if (lane_index() == 0) store_vector(k.sums + (place * s.c + first + ch) * 2, sum);
  }
}

__device__ FilterCounters arrived;

/// Blocks (x: such that add up slots, then four tiles each; y: filters, of which the first of each
/// run has tiles; the last of its blocks finishes the sums). Blocks leave where no filter of the
/// run does anything for those who read what they write.
template <int T, int V>
__global__ void __launch_bounds__(separable_threads, T == 1 ? 6 : 4) input_kernel(Backward k) {
  const int f = static_cast<int>(blockIdx.y), block = static_cast<int>(blockIdx.x) - k.slot_blocks;
  if (block < 0) return add_slots(k, f, static_cast<int>(blockIdx.x));
  if (continues_run(k.p, f) || !wants_input_gradient(k.p, f)) return;
  int last = f;
  bool sums = false;
  do {
    sums = sums || k.wants_sums(last);
    ++last;
  } while (last < k.p.shape.filters && continues_run(k.p, last));
  int runs = f;
  while (runs < last && !k.runs(runs)) ++runs;
  if (runs == last && (sums || k.p.accumulate || !k.p.dx[f].data)) return;
  input_gradient<T, V>(k, f, runs, last, sums, block * separable_warps + warp_index());
  if (!sums) return;
  const FinishShared finish;
  if (arrives_last(arrived.counter + f, gridDim.x - k.slot_blocks, finish.last))
    finish_inputs(k, f, last, finish.sums);
}

}  // namespace
}  // namespace drnas::kernels
