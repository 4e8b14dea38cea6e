// SPDX-License-Identifier: MIT
// The depthwise half of the separable convolutions' CPU twins. A channel is copied into a plane
// with zeros around it, so that every filter reads whole vectors of V pixels; with stride 2 its
// even and odd columns lie apart. Outputs are computed in blocks of rows whose sums stay in
// registers.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"
#include "kernels/planes/separable_groups.h"

namespace drnas::kernels {

/// Stops the compiler from reading v again from memory at every use.
template <int V>
inline Lanes<V> keep_in_register(Lanes<V> v) {
#ifdef __AVX__
  asm("" : "+v"(v));
#endif
  return v;
}

/// x in all lanes, held in a register. x - 0 is x whatever its sign, which x + 0 is not: the
/// compiler leaves out the subtraction.
template <int V>
inline Lanes<V> broadcast(float x) {
  return keep_in_register<V>(x - Lanes<V>{});
}

/// Calls `body.template operator()<V>()` with the vector width for rows of `columns` pixels.
template <class Body>
void dispatch_pixels(int columns, const Body& body) {
#ifdef __AVX512F__
  if (columns > 8) return body.template operator()<16>();
#endif
  (void)columns;
  body.template operator()<8>();
}

/// A channel's pixels with zeros around them. Column x lies in phase x mod `phases` at place
/// x / phases; left of each row is a margin of V zeros, which the row above may read as well.
struct PaddedPlane {
  int rows, columns;  ///< of the channel
  int phases;         ///< 1, or 2 where filters have stride 2
  std::int64_t pitch, phase_floats, origin;

  template <int V>
  static PaddedPlane make(int rows, int columns, int phases) {
    PaddedPlane p{rows, columns, phases, 0, 0, 0};
    p.pitch = V + round_up((columns + phases - 1) / phases, V);
    // Below: the pad, the rows that blocks of four outputs read without need, the last row's right
    // side.
    const std::int64_t all_rows = separable_max_pad * 2 + rows + 3 * phases + 1;
    p.phase_floats = all_rows * p.pitch;
    p.origin = separable_max_pad * p.pitch + V;
    return p;
  }
  std::int64_t floats() const { return phases * phase_floats; }
  /// Where column x of row 0 lies.
  std::int64_t column(int x) const {
    const int phase = x & (phases - 1);
    return origin + phase * phase_floats + ((x - phase) >> (phases - 1));
  }
};

/// The affine map of a normalised input's channel.
struct InputMap {
  float scale = 1.0f, shift = 0.0f;

  InputMap(const SeparableInput& in, int ch) {
    if (!in.mean) return;
    scale = (in.gamma ? in.gamma[ch] : 1.0f) * in.inv_std[ch];
    shift = (in.beta ? in.beta[ch] : 0.0f) - scale * in.mean[ch];
  }
};

/// Copies u = max(0, x), or of the normalised x, between the plane's zeros; a NaN stays.
template <int V>
inline void fill_plane(const PaddedPlane& p, const SeparableInput& in, int ch, const float* x,
                       float* plane) {
  const InputMap map(in, ch);
  const auto rectified = [&](float value) {
    const float y = map.scale * value + map.shift;
    return y < 0.0f ? 0.0f : y;
  };
  const int vectors = p.columns / V * V;
  for (int i = 0; i < p.rows; ++i) {
    const float* from = x + std::int64_t{i} * p.columns;
    float* to = plane + p.origin + i * p.pitch;
    if (p.phases == 1) {
      for (int j = 0; j < vectors; j += V) {
        const Lanes<V> y = map.scale * load<V>(from + j) + map.shift;
        store<V>(to + j, y < 0.0f ? Lanes<V>{} : y);
      }
      for (int j = vectors; j < p.columns; ++j) to[j] = rectified(from[j]);
      continue;
    }
    float* odd = to + p.phase_floats;
    for (int j = 0; j < p.columns / 2; ++j) {
      to[j] = rectified(from[2 * j]);
      odd[j] = rectified(from[2 * j + 1]);
    }
    if (p.columns % 2) to[p.columns / 2] = rectified(from[p.columns - 1]);
  }
}

/// out[i, j] (+)= sum_ab weight[a, b] x[i*S*pitch + a*D*pitch + tap[b] + j].
struct Depthwise {
  const float* x;  ///< the row that tap 0 of output row 0 reads
  std::int64_t pitch;
  std::int64_t tap[separable_max_kernel];
  const float* weight;
  int step;  ///< from weight to weight: 1, or -1 (from the last) for the turned filter
  float* out;
  std::int64_t out_pitch;
  int rows, columns;  ///< rows are rounded up to four, columns to V
  bool accumulate;
};
using DepthwisePass = void (*)(const Depthwise&);

/// Places of a filter's taps in a plane.
inline void place_taps(const PaddedPlane& plane, int kernel, int dilation, int pad,
                       std::int64_t (&tap)[separable_max_kernel]) {
  for (int b = 0; b < kernel; ++b) tap[b] = plane.column(b * dilation - pad) - pad * plane.pitch;
}

/// R rows of outputs from row `top`, columns from the last: what a row's last vector writes after
/// its end is overwritten.
template <int V, int K, int D, int S, int R>
inline void depthwise_rows(const Depthwise& p, int top) {
  const std::int64_t pitch = p.pitch;
  for (int j = (p.columns - 1) / V * V; j >= 0; j -= V) {
    const float* x = p.x + top * S * pitch + j;
    float* out = p.out + top * p.out_pitch + j;
    Lanes<V> sum[R] = {};
    if (p.accumulate)
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) sum[i] = load<V>(out + i * p.out_pitch);
#pragma GCC unroll 1
    for (int b = 0; b < K; ++b) {
      Lanes<V> w[K];
#pragma GCC unroll 8
      for (int a = 0; a < K; ++a) w[a] = broadcast<V>(p.weight[(a * K + b) * p.step]);
      const float* row = x + p.tap[b];
#pragma GCC unroll 32
      for (int r = 0; r < S * (R - 1) + D * (K - 1) + 1; ++r, row += pitch) {
        if (S == 2 && D == 2 && r % 2) continue;
        const Lanes<V> pixels = keep_in_register<V>(load<V>(row));
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
          const int tap = r - S * i;
          if (tap >= 0 && tap % D == 0 && tap / D < K) sum[i] += w[tap / D] * pixels;
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) store<V>(out + i * p.out_pitch, sum[i]);
  }
}

template <int V, int K, int D, int S>
void depthwise(const Depthwise& p) {
  int top = 0;
  for (; top + 8 <= p.rows; top += 8) depthwise_rows<V, K, D, S, 8>(p, top);
  for (; top < p.rows; top += 4) depthwise_rows<V, K, D, S, 4>(p, top);
}

/// out[a, b] += sum_ij dd[i, j] x[i*S*pitch + a*D*pitch + tap[b] + j]; dd is zero after its rows
/// and columns.
struct TapGradient {
  const float* x;
  std::int64_t pitch;
  std::int64_t tap[separable_max_kernel];
  const float* dd;
  std::int64_t dd_pitch;
  int rows, columns;
  float* out;
};
using TapGradientPass = void (*)(const TapGradient&);

/// Four lanes whose sum is that of all.
template <int V>
inline Lanes<4> fold_lanes(Lanes<V> v) {
  if constexpr (V == 4) {
    return v;
  } else if constexpr (V == 8) {
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
  } else {
    return fold_lanes<8>(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                         __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
  }
}

/// The sums of four vectors' lanes.
template <int V>
inline Lanes<4> sum_lanes(Lanes<V> a, Lanes<V> b, Lanes<V> c, Lanes<V> d) {
  const auto interleave = [](Lanes<4> x, Lanes<4> y) {
    return __builtin_shufflevector(x, y, 0, 4, 1, 5) + __builtin_shufflevector(x, y, 2, 6, 3, 7);
  };
  const Lanes<4> ab = interleave(fold_lanes<V>(a), fold_lanes<V>(b)),
                 cd = interleave(fold_lanes<V>(c), fold_lanes<V>(d));
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

template <int V>
inline float sum_lanes(Lanes<V> v) {
  return sum_lanes<V>(v, Lanes<V>{}, Lanes<V>{}, Lanes<V>{})[0];
}

/// out[i] = sum of the lanes of v[i]; out has room for whole fours.
template <int V, int N>
inline void sum_lanes_of(const Lanes<V> (&v)[N], float* out) {
#pragma GCC unroll 8
  for (int i = 0; i < N; i += 4) {
    const Lanes<V> zero{};
    store<4>(out + i, sum_lanes<V>(v[i], i + 1 < N ? v[i + 1] : zero, i + 2 < N ? v[i + 2] : zero,
                                   i + 3 < N ? v[i + 3] : zero));
  }
}

/// Columns [first, first + B) of the taps. Rows of dd are summed in `Sets` sets so that enough
/// additions are under way.
template <int V, int K, int D, int S, int B, int Sets>
inline void tap_columns(const TapGradient& p, int first) {
  constexpr int R = 4;
  Lanes<V> sum[Sets][B][K] = {};
  for (int i = 0; i < p.rows; i += R)
    for (int j = 0; j < p.columns; j += V) {
      Lanes<V> dd[R];
#pragma GCC unroll 4
      for (int k = 0; k < R; ++k)
        dd[k] = keep_in_register<V>(load<V>(p.dd + (i + k) * p.dd_pitch + j));
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) {
        const float* row = p.x + i * S * p.pitch + p.tap[first + b] + j;
#pragma GCC unroll 32
        for (int r = 0; r < S * (R - 1) + D * (K - 1) + 1; ++r, row += p.pitch) {
          if (S == 2 && D == 2 && r % 2) continue;
          const Lanes<V> pixels = keep_in_register<V>(load<V>(row));
#pragma GCC unroll 4
          for (int k = 0; k < R; ++k) {
            const int tap = r - S * k;
            if (tap >= 0 && tap % D == 0 && tap / D < K)
              sum[k % Sets][b][tap / D] += dd[k] * pixels;
          }
        }
      }
    }
  Lanes<V> total[B * K];
#pragma GCC unroll 16
  for (int k = 0; k < B * K; ++k) {
    total[k] = sum[0][k / K][k % K];
    if constexpr (Sets == 2) total[k] += sum[1][k / K][k % K];
  }
  float sums[B * K + 3];
  sum_lanes_of<V>(total, sums);
  for (int k = 0; k < B * K; ++k) p.out[k % K * K + first + k / K] += sums[k];
}

template <int V, int K, int D, int S>
void tap_gradient(const TapGradient& p) {
  if constexpr (K == 3) {
    tap_columns<V, K, D, S, 3, 1>(p, 0);
  } else if constexpr (K == 5) {
    tap_columns<V, K, D, S, 2, 1>(p, 0);
    tap_columns<V, K, D, S, 2, 1>(p, 2);
    tap_columns<V, K, D, S, 1, 2>(p, 4);
  } else {
    for (int b = 0; b < K; ++b) tap_columns<V, K, D, S, 1, 1>(p, b);
  }
}

/// Calls `body.template operator()<K, D, S>()`.
template <class Body>
auto dispatch_filter(int kernel, int dilation, int stride, const Body& body) {
  const auto with_kernel = [&]<int D, int S>() {
    if (kernel == 3) return body.template operator()<3, D, S>();
    if (kernel == 5) return body.template operator()<5, D, S>();
    return body.template operator()<7, D, S>();
  };
  if (stride == 1)
    return dilation == 1 ? with_kernel.template operator()<1, 1>()
                         : with_kernel.template operator()<2, 1>();
  return dilation == 1 ? with_kernel.template operator()<1, 2>()
                       : with_kernel.template operator()<2, 2>();
}

template <int V>
DepthwisePass depthwise_pass(int kernel, int dilation, int stride) {
  return dispatch_filter(kernel, dilation, stride, []<int K, int D, int S>() -> DepthwisePass {
    return depthwise<V, K, D, S>;
  });
}

template <int V>
TapGradientPass tap_gradient_pass(int kernel, int dilation, int stride) {
  return dispatch_filter(kernel, dilation, stride, []<int K, int D, int S>() -> TapGradientPass {
    return tap_gradient<V, K, D, S>;
  });
}

}  // namespace drnas::kernels
