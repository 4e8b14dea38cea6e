// SPDX-License-Identifier: MIT
// How node_mix_backward on CUDA adds up its blocks' sums, in the same launch: the last of a group
// of blocks adds up the group, the last group of a chunk of channels makes its coefficients, and
// the last chunk the mixing weights' gradient.
#pragma once

#include "kernels/bundle/node_mix_device.h"
#include "kernels/core/arrival.h"

namespace drnas::kernels::node_mix_device {

/// Most threads that share a sum over a block.
inline constexpr int max_shares = 16;
/// Blocks of a group, most groups of a chunk, most blocks in all where there are several chunks.
inline constexpr int group_rows = 16, max_groups = 16, max_blocks = 2048;

using Counters = ArrivalCounters<4096>;

/// Sums that make the mixing weights' gradient: of the terms, the sources' two, and of dy where
/// there are gates.
template <class T>
DRNAS_HD int total_count(const NodeMixOf<T>& p) {
  return p.terms + 2 * p.sources + (p.gates.adds ? 1 : 0);
}

/// Sums of blocks in float64. A row is what a block leaves, or a group of them: of its channels the
/// sums of dy (z - mean) of each term, then of dy [terms + 1, sum_pitch]; sums of dy x, then of
/// P^T(dy) x [2, sources].
struct Partials {
  double* row;    ///< [chunks, rows, pitch]
  double* group;  ///< [chunks, groups, pitch]
  double* total;  ///< [chunks, total_count]: parts of the mixing weights' gradient
  int rows, groups, pitch;

  template <class T>
  Partials(const NodeMixOf<T>& p, const Tiling& t, void* memory)
      : row(static_cast<double*>(memory)),
        rows(static_cast<int>(row_count(t))),
        groups(divide_up(rows, group_rows)),
        pitch((p.terms + 1) * t.sum_pitch() + 2 * p.sources) {
    group = row + std::int64_t{t.chunks} * rows * pitch;
    total = group + std::int64_t{t.chunks} * groups * pitch;
    if (counter_count(t.chunks) > Counters::size)
      throw Error("node_mix: " + std::to_string(p.c) + " mixed channels, expected at most " +
                  std::to_string((Counters::size - 1) / 2 * max_chunk));
  }
  static std::int64_t row_count(const Tiling& t) {
    return std::min({std::int64_t{group_rows} * max_groups, t.tiles,
                     std::int64_t{std::max(1, max_blocks / t.chunks)}});
  }
  /// Enough for any width of vectors.
  template <class T>
  static std::size_t bytes(const NodeMixOf<T>& p) {
    std::int64_t doubles = 0;
    for (int v = 1; v <= 8 && p.c % v == 0; v *= 2)
      for (const bool pools : {false, true}) {
        const Tiling t = make_tiling(p, v, pools, 0);
        const std::int64_t rows = row_count(t) + blocks_for(row_count(t), group_rows);
        doubles = std::max(
            doubles,
            t.chunks * (rows * ((p.terms + 1) * t.sum_pitch() + 2 * p.sources) + total_count(p)));
      }
    return sizeof(double) * static_cast<std::size_t>(doubles);
  }
  /// Counters: one for all chunks, then of each chunk one a group and one for all groups.
  DRNAS_HD int counter_count(int chunks) const { return 1 + chunks * (groups + 1); }
};

/// sums[0, pitch) = `from` [rows, pitch] added up, in order; rows are at most group_rows.
__device__ inline void add_partials(const double* from, int rows, int pitch, double* sums) {
  for (int i = threadIdx.x; i < pitch; i += threads) {
    double values[group_rows], sum = 0.0;
    DRNAS_UNROLL
    for (int r = 0; r < group_rows; ++r) values[r] = r < rows ? from[r * pitch + i] : 0.0;
    DRNAS_UNROLL
    for (int r = 0; r < group_rows; ++r) sum += values[r];
    sums[i] = sum;
  }
}

/// Writes the block's sums [pitch]. True in the block that ends the chunk, whose `sums` then hold
/// those of all blocks.
__device__ inline bool gather_sums(const Partials& out, Counters& counters, double* sums,
                                   unsigned* last) {
  const int chunk = blockIdx.y, group = static_cast<int>(blockIdx.x) / group_rows,
            first = group * group_rows, rows = min_of(group_rows, out.rows - first);
  const auto write = [&](double* to) {
    for (int i = threadIdx.x; i < out.pitch; i += threads) to[i] = sums[i];
  };
  unsigned* of_groups = counters.counter + out.counter_count(chunk);
  double* row = out.row + (std::int64_t{chunk} * out.rows + first) * out.pitch;
  write(row + (static_cast<int>(blockIdx.x) - first) * out.pitch);
  if (!arrives_last(of_groups + group, rows, last)) return false;
  add_partials(row, rows, out.pitch, sums);
  if (out.groups == 1) {
    __syncthreads();
    return true;
  }
  double* groups = out.group + std::int64_t{chunk} * out.groups * out.pitch;
  write(groups + group * out.pitch);
  if (!arrives_last(of_groups + out.groups, out.groups, last)) return false;
  add_partials(groups, out.groups, out.pitch, sums);
  __syncthreads();
  return true;
}

/// Coefficients of a chunk's channels, from sums [terms + 1, sum_pitch]; leaves S_t in their place.
template <class T>
__device__ void finish_terms(const NodeMixBackwardOf<T>& b, const Share& share, int pitch,
                             double* sums) {
  const NodeMixOf<T>& p = b.mix;
  for (int i = threadIdx.x; i < p.terms * share.count; i += threads) {
    const int t = i / share.count, at = i - t * share.count, ch = share.first + at;
    const NodeMixTermOf<T>& term = p.term[t];
    const double theta = p.theta[term.theta], inv = term.inv_std[ch],
                 s = sums[t * pitch + at] * inv, of_dy = sums[p.terms * pitch + at], m = b.count(),
                 slope = -theta * inv * inv * s / m;
    float *a = b.coefficients[t], *bz = a + p.c, *constant = bz + p.c;
    a[ch] = static_cast<float>(theta * inv);
    bz[ch] = static_cast<float>(slope);
    constant[ch] = static_cast<float>(-theta * inv * of_dy / m - slope * term.mean[ch]);
    sums[t * pitch + at] = s;
  }
}

/// The entry of theta that sum i is for; -1 where it is for none.
template <class T>
__device__ int weight_of_sum(const NodeMixBackwardOf<T>& b, int i) {
  const NodeMixOf<T>& p = b.mix;
  const int s = i - p.terms;
  if (s >= 2 * p.sources) return -1;
  const int theta = s < 0           ? p.term[i].theta
                    : s < p.sources ? p.source[s].skip_theta
                                    : p.source[s - p.sources].pool_theta;
  return theta >= 0 && p.gates.runs(p.theta, theta) ? theta : -1;
}

/// Adds the chunks' totals to dtheta. Totals of the same mixing weight go, in order, to the thread
/// that has the first of them. `value`, `index`: shared memory for one of each a total.
template <class T>
__device__ void add_to_weights(const NodeMixBackwardOf<T>& b, const double* total, int chunks,
                               double* value, int* index) {
  const NodeMixOf<T>& p = b.mix;
  const int count = total_count(p), i = threadIdx.x;
  if (i < count) {
    double sum = 0.0;
    for (int k = 0; k < chunks; ++k) sum += total[k * count + i];
    value[i] = sum;
    index[i] = weight_of_sum(b, i);
  }
  __syncthreads();
  if (p.gates.adds && i < p.gates.entries()) {
    const int theta = p.gates.index(i);
    if (p.theta[theta] == 0.0) b.dtheta[theta] += value[count - 1];
  }
  if (i >= count || index[i] < 0) return;
  for (int k = 0; k < i; ++k)
    if (index[k] == index[i]) return;
  double sum = 0.0;
  for (int k = i; k < count; ++k)
    if (index[k] == index[i]) sum += value[k];
  b.dtheta[index[i]] += sum;
}

/// What is left to do when a block's sums [terms + 1, sum_pitch], [2, sources] are complete.
/// `value`, `index`: shared memory, of other use before.
template <class T>
__device__ void finish_sums(const NodeMixBackwardOf<T>& b, const Tiling& tiling,
                            const Partials& out, Counters& counters, const Share& share,
                            double* sums, double* value, int* index, unsigned* last) {
  const NodeMixOf<T>& p = b.mix;
  __syncthreads();
  if (!gather_sums(out, counters, sums, last)) return;
  finish_terms(b, share, tiling.sum_pitch(), sums);
  if (!b.dtheta) return;
  __syncthreads();
  const int count = total_count(p), i = threadIdx.x;
  if (i < count) {
    double sum = 0.0;
    const bool gates = i == p.terms + 2 * p.sources;  // by the sum of dy, which stands after terms
    if (i < p.terms || gates)
      for (int ch = 0; ch < share.count; ++ch)
        sum += sums[(gates ? p.terms : i) * tiling.sum_pitch() + ch];
    else
      sum = sums[(p.terms + 1) * tiling.sum_pitch() + i - p.terms];
    out.total[blockIdx.y * count + i] = sum;
  }
  if (!arrives_last(counters.counter, tiling.chunks, last)) return;
  add_to_weights(b, out.total, tiling.chunks, value, index);
}

}  // namespace drnas::kernels::node_mix_device
