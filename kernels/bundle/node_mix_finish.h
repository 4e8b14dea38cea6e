// SPDX-License-Identifier: MIT
// Second half of node_mix_backward on CUDA: partial sums of the first kernel's blocks become
// coefficients and the mixing weights' gradient.
#pragma once

#include "kernels/bundle/node_mix_device.h"

namespace drnas::kernels::node_mix_device {

/// Most threads that share a sum over a block, or over blocks.
inline constexpr int max_shares = 16;
/// Most blocks along the pixels; each adds up several tiles where there are more.
inline constexpr std::int64_t max_rows = 256;
/// Channels whose sums one block of the second kernel completes.
inline constexpr int slice = 16;

inline int slice_count(int c) { return (c + slice - 1) / slice; }

/// What the first kernel leaves, in float64, and the second one adds up.
struct Partials {
  double* term;       ///< [rows, terms + 1, c]: sums of dy (z - mean), then of dy
  double* source;     ///< [rows, chunks, 2, sources]: sums of dy x, of P^T(dy) x
  double* total;      ///< [terms, slices], [2, sources]: parts of the mixing weights' gradient
  unsigned* arrived;  ///< blocks of the second kernel that are done
  int rows, chunks, slices;

  template <class T>
  Partials(const NodeMixOf<T>& p, int rows_, int chunks_, void* memory)
      : term(static_cast<double*>(memory)),
        source(term + std::int64_t{rows_} * (p.terms + 1) * p.c),
        total(source + std::int64_t{rows_} * chunks_ * 2 * p.sources),
        arrived(reinterpret_cast<unsigned*>(total + totals(p))),
        rows(rows_),
        chunks(chunks_),
        slices(slice_count(p.c)) {}
  template <class T>
  static std::int64_t totals(const NodeMixOf<T>& p) {
    return std::int64_t{p.terms} * slice_count(p.c) + 2 * p.sources;
  }
  /// Enough for any tiling.
  template <class T>
  static std::size_t bytes(const NodeMixOf<T>& p) {
    const std::int64_t rows =
        std::min(max_rows, std::int64_t{p.n} * p.h * blocks_for(p.w, max_tile_columns));
    return sizeof(double) * static_cast<std::size_t>(rows * ((p.terms + 1) * std::int64_t{p.c} +
                                                             2 * p.sources * chunk_count(p.c)) +
                                                     totals(p) + 1);
  }
};

/// Sums of `count` columns of two matrices [rows, pitch], complete in threads i < count.
struct ColumnSums {
  double first, second;
};

/// `parts` holds two numbers a thread. Loads of several rows are under way at a time.
__device__ inline ColumnSums add_columns(const double* first, const double* second,
                                         std::int64_t rows, std::int64_t pitch, int count,
                                         double* parts) {
  constexpr int at_a_time = 8;
  const int shares = min_of(threads / count, max_shares), column = threadIdx.x % count,
            share = threadIdx.x / count;
  ColumnSums sum{};
  for (std::int64_t row = share; row < rows && share < shares; row += at_a_time * shares) {
    double a[at_a_time], b[at_a_time];
    DRNAS_MIX_UNROLL
    for (int k = 0; k < at_a_time; ++k) {
      const std::int64_t at = row + k * shares, offset = at * pitch + column;
      a[k] = at < rows ? first[offset] : 0.0;
      b[k] = at < rows ? second[offset] : 0.0;
    }
    DRNAS_MIX_UNROLL
    for (int k = 0; k < at_a_time; ++k) sum = {sum.first + a[k], sum.second + b[k]};
  }
  parts[threadIdx.x] = sum.first;
  parts[threads + threadIdx.x] = sum.second;
  __syncthreads();
  sum = {};
  for (int k = 0; k < shares && share == 0; ++k) {
    const int from = k * count + column;
    sum = {sum.first + parts[from], sum.second + parts[threads + from]};
  }
  return sum;
}

/// Coefficients of one term's slice of channels; returns its part of dtheta in thread 0.
template <class T>
__device__ double finish_term(const NodeMixBackwardOf<T>& b, const Partials& in, int t, int first,
                              double* parts) {
  const NodeMixOf<T>& p = b.mix;
  const int count = min_of(slice, p.c - first), i = threadIdx.x, ch = first + i;
  const std::int64_t pitch = std::int64_t{p.terms + 1} * p.c;
  const double* sums = in.term + first;
  const ColumnSums total =
      add_columns(sums + t * p.c, sums + p.terms * p.c, in.rows, pitch, count, parts);
  if (i < count) {
    const NodeMixTermOf<T>& term = p.term[t];
    const double theta = p.theta[term.theta], inv = term.inv_std[ch], s = total.first * inv,
                 m = static_cast<double>(p.n) * p.h * p.w, slope = -theta * inv * inv * s / m;
    float *a = b.coefficients[t], *bz = a + p.c, *constant = bz + p.c;
    a[ch] = static_cast<float>(theta * inv);
    bz[ch] = static_cast<float>(slope);
    constant[ch] = static_cast<float>(-theta * inv * total.second / m - slope * term.mean[ch]);
    parts[i] = s;
  }
  __syncthreads();
  double dtheta = 0.0;
  for (int k = 0; k < count && i == 0; ++k) dtheta += parts[k];
  return dtheta;
}

/// Adds the totals to dtheta. Totals of the same mixing weight go, in order, to the thread that has
/// the first of them.
template <class T>
__device__ void add_to_weights(const NodeMixBackwardOf<T>& b, const Partials& in, double* value,
                               int* index) {
  const NodeMixOf<T>& p = b.mix;
  const int count = p.terms + 2 * p.sources, i = threadIdx.x;
  const volatile double* total = in.total;
  if (i < p.terms) {
    double sum = 0.0;
    for (int k = 0; k < in.slices; ++k) sum += total[i * in.slices + k];
    value[i] = sum;
    index[i] = p.term[i].theta;
  } else if (i < count) {
    const int j = i - p.terms;
    value[i] = total[p.terms * in.slices + j];
    index[i] = j < p.sources ? p.source[j].skip_theta : p.source[j - p.sources].pool_theta;
  }
  __syncthreads();
  if (i >= count || index[i] < 0) return;
  for (int k = 0; k < i; ++k)
    if (index[k] == index[i]) return;
  double sum = 0.0;
  for (int k = i; k < count; ++k)
    if (index[k] == index[i]) sum += value[k];
  b.dtheta[index[i]] += sum;
}

}  // namespace drnas::kernels::node_mix_device
