// SPDX-License-Identifier: MIT
// Loops of the CPU kernels over planes: vectors of pixels, sums over a plane, weighted sums of
// planes, moments.
#pragma once

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"
#include "kernels/planes/plane_access.h"
#include "kernels/planes/plane_statistics.h"

namespace drnas::kernels {

#ifdef __AVX512F__
inline constexpr int plane_lanes = 16;
#else
inline constexpr int plane_lanes = 8;
#endif
/// Pixels that several loops pass over while they are in the L1 cache.
inline constexpr std::int64_t plane_block = 1024;

/// Calls body(image, channel) for n*c planes, each on one thread.
template <class Body>
void each_plane(int n, int c, const Body& body) {
  parallel_ranges(std::int64_t{n} * c, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i / c, static_cast<int>(i % c));
  });
}

/// Calls body(first pixel, pixels) for the blocks of a plane.
template <class Body>
void each_block(std::int64_t pixels, const Body& body) {
  for (std::int64_t first = 0; first < pixels; first += plane_block)
    body(first, std::min(plane_block, pixels - first));
}

/// Calls body.template operator()<V>(i) for vectors of pixels i .. i + V - 1, then for the rest.
template <class Body>
inline void each_vector(std::int64_t pixels, const Body& body) {
  std::int64_t i = 0;
#pragma GCC unroll 2
  for (; i + plane_lanes <= pixels; i += plane_lanes) body.template operator()<plane_lanes>(i);
  for (; i + 4 <= pixels; i += 4) body.template operator()<4>(i);
  for (; i < pixels; ++i) body.template operator()<1>(i);
}

template <int V>
inline float add_up(Lanes<V> lanes) {
  if constexpr (V == 1) {
    return lanes;
  } else {
    constexpr int half = V / 2;
    Lanes<half> low, high;
    std::memcpy(&low, &lanes, sizeof low);
    std::memcpy(&high, reinterpret_cast<const char*>(&lanes) + sizeof low, sizeof high);
    return add_up<half>(low + high);
  }
}

/// Adds to sums[k] value.template operator()<V>(i, k), k < N, over the pixels of one block, in two
/// chains of vectors.
template <int N, class Value>
inline void sum_block(std::int64_t pixels, const Value& value, double* sums) {
  constexpr int V = plane_lanes;
  Lanes<V> even[N] = {}, odd[N] = {};
  Lanes<4> rest[N] = {};
  float single[N] = {};
  std::int64_t i = 0;
  for (; i + 2 * V <= pixels; i += 2 * V) {
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) even[k] += value.template operator()<V>(i, k);
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) odd[k] += value.template operator()<V>(i + V, k);
  }
  for (; i + 4 <= pixels; i += 4) {
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) rest[k] += value.template operator()<4>(i, k);
  }
  for (; i < pixels; ++i) {
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) single[k] += value.template operator()<1>(i, k);
  }
#pragma GCC unroll 4
  for (int k = 0; k < N; ++k)
    sums[k] += (add_up<V>(even[k] + odd[k]) + add_up<4>(rest[k])) + single[k];
}

/// Count, mean and M2 of a plane. The deviations' own sum corrects the rounded mean that they are
/// taken from.
inline PlaneMoments plane_moments_of(const float* x, std::int64_t pixels) {
  PlaneMoments moments;
  each_block(pixels, [&](std::int64_t first, std::int64_t count) {
    const float* from = x + first;
    double sum = 0, deviation[2] = {};
    sum_block<1>(
        count, [&]<int V>(std::int64_t i, int) { return load<V>(from + i); }, &sum);
    const float middle = static_cast<float>(sum / static_cast<double>(count));
    sum_block<2>(
        count,
        [&]<int V>(std::int64_t i, int k) {
          const Lanes<V> d = load<V>(from + i) - middle;
          return k == 0 ? d : d * d;
        },
        deviation);
    const double size = static_cast<double>(count);
    moments.merge({size, middle + deviation[0] / size,
                   std::max(0.0, deviation[1] - deviation[0] * deviation[0] / size)});
  });
  return moments;
}

/// sum_k weight_k from_k + start, of at most `capacity` planes.
class WeightedPlanes {
 public:
  static constexpr int capacity = 64;
  double start = 0;

  void add(const float* from, double weight) {
    from_[count_] = from;
    weight_[count_++] = static_cast<float>(weight);
  }
  /// out[i] = the sum at pixel first + i, or += where `accumulate`, for i < pixels.
  void write(std::int64_t first, std::int64_t pixels, float* out, bool accumulate) const {
    int k = 0;
    bool fresh = !accumulate;
    do {
      const int group = std::min(4, count_ - k);
      const float constant = k == 0 ? static_cast<float>(start) : 0.0f;
      if (group == 4) pass<4>(k, first, pixels, constant, fresh, out);
      if (group == 3) pass<3>(k, first, pixels, constant, fresh, out);
      if (group == 2) pass<2>(k, first, pixels, constant, fresh, out);
      if (group == 1) pass<1>(k, first, pixels, constant, fresh, out);
      if (group == 0) pass<0>(k, first, pixels, constant, fresh, out);
      fresh = false;
      k += group;
    } while (k < count_);
  }
  /// A whole plane, block by block.
  void write_plane(std::int64_t pixels, float* out, bool accumulate) const {
    each_block(pixels, [&](std::int64_t first, std::int64_t count) {
      write(first, count, out + first, accumulate);
    });
  }

 private:
  template <int N>
  void pass(int k, std::int64_t first, std::int64_t pixels, float constant, bool fresh,
            float* out) const {
    if (fresh)
      pass<N, true>(k, first, pixels, constant, out);
    else
      pass<N, false>(k, first, pixels, constant, out);
  }
  template <int N, bool fresh>
  void pass(int k, std::int64_t first, std::int64_t pixels, float constant, float* out) const {
    const float* from[N + 1];
    float weight[N + 1];
    for (int j = 0; j < N; ++j) {
      from[j] = from_[k + j] + first;
      weight[j] = weight_[k + j];
    }
    each_vector(pixels, [&]<int V>(std::int64_t i) {
      Lanes<V> sum = splat<V>(constant);
      if constexpr (!fresh) sum += load<V>(out + i);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) sum += weight[j] * load<V>(from[j] + i);
      store<V>(out + i, sum);
    });
  }

  const float* from_[capacity];
  float weight_[capacity];
  int count_ = 0;
};

/// Merges moments [n, c] of images in order and leaves the statistics, on the calling thread.
inline void finish_plane_statistics(int n, int c, const PlaneMoments* moments,
                                    const PlaneStatistics& out, const NormMode& mode) {
  for (int ch = 0; ch < c; ++ch) {
    PlaneMoments total;
    for (std::int64_t image = 0; image < n; ++image) total.merge(moments[image * c + ch]);
    finish_statistics(total, out, mode, ch);
  }
}

/// Sums [n, count] over images, in order, into the first image's.
inline void add_images(int n, std::int64_t count, double* sums) {
  parallel_ranges(count, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t image = 1; image < n; ++image)
      for (std::int64_t i = begin; i < end; ++i) sums[i] += sums[image * count + i];
  });
}

}  // namespace drnas::kernels
