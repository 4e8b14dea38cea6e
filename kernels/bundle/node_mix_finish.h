// SPDX-License-Identifier: MIT
// How a node mix's backward pass on CUDA adds up its blocks' sums, in the same launch: the last of
// a group of blocks adds up the group, the last group of a chunk of channels makes its
// coefficients, and the last chunk the mixing weights' gradient.
#pragma once

#include "kernels/bundle/node_mix_device.h"
#include "kernels/core/arrival.h"

namespace drnas::kernels::node_mix_device {

/// Blocks of a group.
inline constexpr int group_rows = 16;

using Counters = ArrivalCounters<4096>;

/// Sums that make the mixing weights' gradient: of the terms, the sources' two, and of dy where
/// there are gates.
template <class T>
DRNAS_HD int total_count(const NodeMixOf<T>& p) {
  return p.terms + 2 * p.sources + (p.gates.adds ? 1 : 0);
}

/// Sums of blocks in float64. A row is what a block leaves of a chunk of channels, or a group of
/// them: of its channels the sums of dy (z - mean) of each term, then of dy [terms + 1, sum_pitch];
/// sums of dy x, then of P^T(dy) x [2, sources].
struct Partials {
  double* row = nullptr;    ///< [chunks, rows, pitch]
  double* group = nullptr;  ///< [chunks, groups, pitch]
  double* total = nullptr;  ///< [chunks, total_count]: parts of the mixing weights' gradient
  int chunks = 0, rows = 0, groups = 0;
  int sum_pitch = 0;  ///< of a term's channels: odd, so that a column uses all banks
  int pitch = 0;
  std::int64_t doubles = 0;

  Partials() = default;
  /// `memory` holds the doubles; with null they are only counted.
  template <class T>
  Partials(const NodeMixOf<T>& p, int chunk, int chunks_, std::int64_t rows_, void* memory)
      : row(static_cast<double*>(memory)),
        chunks(chunks_),
        rows(static_cast<int>(rows_)),
        groups(divide_up(rows, group_rows)),
        sum_pitch(chunk | 1),
        pitch((p.terms + 1) * sum_pitch + 2 * p.sources) {
    const std::int64_t of_rows = std::int64_t{chunks} * rows * pitch,
                       of_groups = std::int64_t{chunks} * groups * pitch;
    group = row + of_rows;
    total = group + of_groups;
    doubles = of_rows + of_groups + std::int64_t{chunks} * total_count(p);
  }
  /// Counters: one for all chunks, then of each chunk one a group and one for all groups.
  DRNAS_HD int counter_count(int of_chunks) const { return 1 + of_chunks * (groups + 1); }
  bool counters_fit() const { return counter_count(chunks) <= Counters::size; }
};

/// sums[0, pitch) = `from` [rows, pitch] added up, in order.
template <int block_threads>
__device__ void add_partials(const double* from, int rows, int pitch, double* sums) {
  for (int i = threadIdx.x; i < pitch; i += block_threads) {
    double sum = 0.0;
    for (int first = 0; first < rows; first += group_rows) {
      double values[group_rows];
      DRNAS_UNROLL
      for (int r = 0; r < group_rows; ++r)
        values[r] = first + r < rows ? from[std::int64_t{first + r} * pitch + i] : 0.0;
      DRNAS_UNROLL
      for (int r = 0; r < group_rows; ++r) sum += values[r];
    }
    sums[i] = sum;
  }
}

/// Writes the block's sums [pitch]. True in the block that ends the chunk, whose `sums` then hold
/// those of all blocks.
template <int block_threads>
__device__ bool gather_sums(const Partials& out, Counters& counters, double* sums, unsigned* last) {
  const int chunk = blockIdx.y, group = static_cast<int>(blockIdx.x) / group_rows,
            first = group * group_rows, rows = min_of(group_rows, out.rows - first);
  const auto write = [&](double* to) {
    for (int i = threadIdx.x; i < out.pitch; i += block_threads) to[i] = sums[i];
  };
  unsigned* of_groups = counters.counter + out.counter_count(chunk);
  double* row = out.row + (std::int64_t{chunk} * out.rows + first) * out.pitch;
  write(row + (static_cast<int>(blockIdx.x) - first) * out.pitch);
  if (!arrives_last(of_groups + group, rows, last)) return false;
  add_partials<block_threads>(row, rows, out.pitch, sums);
  if (out.groups == 1) {
    __syncthreads();
    return true;
  }
  double* groups = out.group + std::int64_t{chunk} * out.groups * out.pitch;
  write(groups + group * out.pitch);
  if (!arrives_last(of_groups + out.groups, out.groups, last)) return false;
  add_partials<block_threads>(groups, out.groups, out.pitch, sums);
  __syncthreads();
  return true;
}

/// The channels of a chunk.
struct ChannelRange {
  int first, count;
};

/// Coefficients of a chunk's channels, from sums [terms + 1, sum_pitch]; leaves S_t in their place.
template <int block_threads, class T>
__device__ void finish_terms(const NodeMixBackwardOf<T>& b, const ChannelRange& range, int pitch,
                             double* sums) {
  const NodeMixOf<T>& p = b.mix;
  for (int i = threadIdx.x; i < p.terms * range.count; i += block_threads) {
    const int t = i / range.count, at = i - t * range.count, ch = range.first + at;
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
template <int block_threads, class T>
__device__ void finish_sums(const NodeMixBackwardOf<T>& b, const Partials& out, Counters& counters,
                            const ChannelRange& range, double* sums, double* value, int* index,
                            unsigned* last) {
  const NodeMixOf<T>& p = b.mix;
  __syncthreads();
  if (!gather_sums<block_threads>(out, counters, sums, last)) return;
  finish_terms<block_threads>(b, range, out.sum_pitch, sums);
  if (!b.dtheta) return;
  __syncthreads();
  const int count = total_count(p), i = threadIdx.x;
  if (i < count) {
    double sum = 0.0;
    const bool gates = i == p.terms + 2 * p.sources;  // by the sum of dy, which stands after terms
    if (i < p.terms || gates)
      for (int ch = 0; ch < range.count; ++ch)
        sum += sums[(gates ? p.terms : i) * out.sum_pitch + ch];
    else
      sum = sums[(p.terms + 1) * out.sum_pitch + i - p.terms];
    out.total[blockIdx.y * count + i] = sum;
  }
  if (!arrives_last(counters.counter, out.chunks, last)) return;
  add_to_weights(b, out.total, out.chunks, value, index);
}

/// Does a source have an operation of this weight that runs?
template <class T>
__device__ bool has_running(const NodeMixOf<T>& p, int theta) {
  return theta >= 0 && p.gates.runs(p.theta, theta);
}
template <class T>
__device__ bool pools_run(const NodeMixOf<T>& p) {
  bool any = p.gates.rows == 0;
  for (int s = 0; s < p.sources && !any; ++s) any = has_running(p, p.source[s].pool_theta);
  return any;
}
/// Does any of the terms [first, last)?
template <class T>
__device__ bool terms_run(const NodeMixOf<T>& p, int first, int last) {
  bool any = p.gates.rows == 0;
  for (int t = first; t < last && !any; ++t) any = p.gates.runs(p.theta, p.term[t].theta);
  return any;
}
/// Is any of the sums wanted?
template <class T>
__device__ bool sums_wanted(const NodeMixBackwardOf<T>& b) {
  const NodeMixOf<T>& p = b.mix;
  if (terms_run(p, 0, p.terms) || (b.dtheta && (p.gates.adds || pools_run(p)))) return true;
  bool any = false;
  for (int s = 0; s < p.sources && b.dtheta && !any; ++s)
    any = has_running(p, p.source[s].skip_theta);
  return any;
}

}  // namespace drnas::kernels::node_mix_device
