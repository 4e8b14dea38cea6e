// SPDX-License-Identifier: MIT
// Depthwise filters on strips: a thread holds four neighbouring outputs of one or two rows in
// registers and reads each row of its window once, in vectors.
#pragma once

#include "kernels/core/unroll.h"
#include "kernels/planes/separable_device.h"

namespace drnas::kernels {

/// floor(a / b)
constexpr DRNAS_HD int floor_quotient(int a, int b) { return (a - (a % b + b) % b) / b; }

/// Columns of a row of a window that a strip's taps reach, from `low` to `high` columns off the
/// strip's own, in whole vectors of four.
struct StripColumns {
  int low, high, margin;
  constexpr DRNAS_HD int first() const { return (margin + low) / 4 * 4; }
  constexpr DRNAS_HD int vectors() const { return (margin + high + 7) / 4 - first() / 4; }
  /// Place among the columns of the one that is `offset` off the strip's first.
  constexpr DRNAS_HD int place(int offset) const { return margin + offset - first(); }
};

template <int Vectors>
__device__ inline void load_columns(const float* from, float (&to)[4 * Vectors]) {
  DRNAS_UNROLL
  for (int v = 0; v < Vectors; ++v) {
    float four[4];
    load_vector(from + 4 * v, four);
    DRNAS_UNROLL
    for (int k = 0; k < 4; ++k) to[4 * v + k] = four[k];
  }
}

/// Weights of one channel, in whole vectors.
template <int K>
struct StripWeights {
  static constexpr int floats = (K * K + 3) / 4 * 4;
  float value[floats];

  __device__ explicit StripWeights(const float* shared) { load_columns<floats / 4>(shared, value); }
};

/// Puts the weights of a channel into shared memory, turned by half a circle where wished.
template <int K, bool Turned>
__device__ inline void stage_weights(const float* weight, float* shared) {
  for (int e = lane_index(); e < StripWeights<K>::floats; e += static_cast<int>(warp_lanes))
    shared[e] = e < K * K ? weight[Turned ? K * K - 1 - e : e] : 0.0f;
}

/// Walks over the window of a strip, which starts at `window`: calls use(row of the strip, tap,
/// four inputs that meet it). D: dilation in the window, P: phases.
template <int K, int D, int P, class Use>
__device__ __forceinline__ void each_strip_tap(const float* window, int pitch, int odd,
                                               const Use& use) {
  constexpr WindowShape shape = WindowShape::of_outputs(K, D, P);
  constexpr int pad = D * (K - 1) / 2;
  constexpr StripColumns columns{floor_quotient(-pad, P), floor_quotient(D * (K - 1) - pad, P),
                                 shape.margin};
  constexpr int vectors = columns.vectors(), first = columns.first(), places = columns.place(0);
  DRNAS_UNROLL
  for (int u = 0; u < K + shape.pair - 1; ++u) {
    float x[P][4 * vectors];
    DRNAS_UNROLL
    for (int p = 0; p < P; ++p)
      load_columns<vectors>(window + u * D * pitch + p * odd + first, x[p]);
    DRNAS_UNROLL
    for (int r = 0; r < shape.pair; ++r) {
      const int a = u - r;
      if (a < 0 || a >= K) continue;
      DRNAS_UNROLL
      for (int b = 0; b < K; ++b) {
        const int off = b * D - pad, place = places + floor_quotient(off, P), p = (off % P + P) % P;
        const float met[4] = {x[p][place], x[p][place + 1], x[p][place + 2], x[p][place + 3]};
        use(r, a * K + b, met);
      }
    }
  }
}

/// Sums of a strip: row r lies r * dilation rows below the first.
template <int K, int D, int P>
struct Strip {
  static constexpr WindowShape shape = WindowShape::of_outputs(K, D, P);
  static constexpr int pair = shape.pair;
  float sum[pair][4] = {};

  __device__ Strip(const float* window, int pitch, int odd, const float* shared_weights) {
    const StripWeights<K> weight(shared_weights);
    each_strip_tap<K, D, P>(window, pitch, odd, [&](int r, int tap, const float(&x)[4]) {
      DRNAS_UNROLL
      for (int k = 0; k < 4; ++k) sum[r][k] += weight.value[tap] * x[k];
    });
  }
};

/// Gradients of the inputs (2i + row, 2j + column) of a strip of output pixels (i, j), of an
/// undilated filter with stride 2: every tap belongs to one parity of rows and columns.
template <int K>
struct TransposedStrip {
  float sum[2][8] = {};

  __device__ TransposedStrip(const float* window, int pitch, const float* shared_weights) {
    constexpr int pad = (K - 1) / 2, low = -(pad / 2), high = (pad + 1) / 2;
    constexpr StripColumns columns{low, high, 4};
    constexpr int vectors = columns.vectors(), first = columns.first(), places = columns.place(0);
    const StripWeights<K> weight(shared_weights);
    DRNAS_UNROLL
    for (int u = low; u <= high; ++u) {
      float x[4 * vectors];
      load_columns<vectors>(window + (u - low) * pitch + first, x);
      DRNAS_UNROLL
      for (int row = 0; row < 2; ++row) {
        const int a = row + pad - 2 * u;
        if (a < 0 || a >= K) continue;
        DRNAS_UNROLL
        for (int b = 0; b < K; ++b) {
          const int column = (b + pad) % 2, place = places + (column + pad - b) / 2;
          DRNAS_UNROLL
          for (int k = 0; k < 4; ++k)
            sum[row][2 * k + column] += weight.value[a * K + b] * x[place + k];
        }
      }
    }
  }
};

/// Puts `here` windows and their weights into a warp's shared memory by stage(window, to), then
/// calls compute(place of the lane's strip, its window, its weights) on the lanes that have one.
template <class Stage, class Compute>
__device__ inline void strips_of_planes(const StripPlan& plan, const StripPlace& place,
                                        int row_phases, int here, float* staging,
                                        const Stage& stage, const Compute& compute) {
  for (int ch = 0; ch < here; ++ch) stage(ch, staging + ch * plan.floats());
  __syncwarp();
  if (place.plane < here) {
    const float* window = staging + place.plane * plan.floats();
    compute(place, window + place.row * row_phases * plan.pitch + place.column,
            window + plan.window);
  }
  __syncwarp();
}

/// d of channels [first, first + count) at every pixel of a tile, zero where there is none: to
/// d[ch - first][pixel], rows `pitch` apart. Each warp takes channels of its own, with `staging` of
/// its own, and waits for no other.
template <int K, int D, int T, int V>
__device__ inline void depthwise_tile(const Separable& s, const SeparableFilter& f,
                                      const PixelTiles& t, const TileCorner& corner, int image,
                                      int first, int count, float* staging, float* d, int pitch) {
  constexpr WindowShape shape = WindowShape::of_outputs(K, D, T);
  using Sums = Strip<K, shape.dilation, shape.phases>;
  const StripPlan plan(shape, K, t);
  const StripPlace place = StripPlace::of<shape.dilation, shape.pair>(plan, t);
  for (int begin = warp_index() * plan.at_once; begin < count;
       begin += separable_warps * plan.at_once) {
    const int here = count - begin < plan.at_once ? count - begin : plan.at_once;
    strips_of_planes(
        plan, place, shape.phases, here, staging,
        [&](int k, float* to) {
          const int ch = first + begin + k;
          const DeviceInput u(s, f.in, image, ch);
          load_window<V, shape.phases, shape.step, shape.margin>(shape, t, corner, u.plane,
                                                                 plan.pitch, to, u);
          stage_weights<K, false>(f.depthwise + std::int64_t{ch} * K * K, to + plan.window);
        },
        [&](const StripPlace& at, const float* window, const float* weights) {
          Sums strip(window, plan.pitch, shape.phase_pitch(t.width), weights);
          for (int r = 0; r < shape.pair; ++r) {
            const int i = at.row + r * shape.dilation;
            if (i >= t.height) continue;
            for (int k = 0; k < 4; ++k)
              if (!corner.contains(t, i, at.column + k)) strip.sum[r][k] = 0.0f;
            store_vector(d + (begin + at.plane) * pitch + i * t.width + at.column, strip.sum[r]);
          }
        });
  }
}

}  // namespace drnas::kernels
