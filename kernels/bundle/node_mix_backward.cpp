// SPDX-License-Identifier: MIT
#include <omp.h>

#include <numeric>

#include "kernels/bundle/node_mix.h"
#include "kernels/bundle/node_rows.h"
#include "kernels/core/parallel.h"

namespace drnas::kernels {
namespace {

/// Sums of one image, or of all: [terms, c] of dy (z - mean), [c] of dy, [sources] of dy x,
/// [sources] of P^T(dy) x.
struct Sums {
  double *term, *dy, *skip, *pool;

  static std::int64_t count(const NodeMix& p) {
    return std::int64_t{p.terms + 1} * p.c + 2 * p.sources;
  }
  Sums(const NodeMix& p, double* memory)
      : term(memory),
        dy(memory + std::int64_t{p.terms} * p.c),
        skip(dy + p.c),
        pool(skip + p.sources) {}
};

/// sum over a row of value(pixel), in four interleaved chains that hide the latency of the adder.
template <int V, class Value>
Lanes<V> sum_row(int w, const Value& value) {
  Lanes<V> sum[4] = {};
  int j = 0;
  for (; j + 4 <= w; j += 4)
    for (int k = 0; k < 4; ++k) sum[k] += value(j + k);
  for (; j < w; ++j) sum[0] += value(j);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

template <int V>
void add_lanes(Lanes<V> lanes, double* to) {
  float values[V];
  store<V>(values, lanes);
  for (int k = 0; k < V; ++k) to[k] += values[k];
}

template <int V>
double add_up(Lanes<V> lanes) {
  float values[V];
  store<V>(values, lanes);
  double sum = 0;
  for (float v : values) sum += v;
  return sum;
}

/// A row of the mixed channels' gradient.
struct GradientRow {
  const float* dy;
  std::int64_t stride;
};

template <int V>
void reduce_terms(const NodeMix& p, std::int64_t pixel, GradientRow row, const Sums& sums) {
  for (int cb = 0; cb < p.c; cb += V) {
    const float* dy = row.dy + cb;
    add_lanes<V>(sum_row<V>(p.w, [&](int j) { return load<V>(dy + j * row.stride); }),
                 sums.dy + cb);
    for (int t = 0; t < p.terms; ++t) {
      const NodeMixTerm& term = p.term[t];
      const float* z = term.z + pixel * term.z_stride + cb;
      const Lanes<V> mean = load<V>(term.mean + cb);
      add_lanes<V>(sum_row<V>(p.w,
                              [&](int j) {
                                return load<V>(dy + j * row.stride) *
                                       (load<V>(z + j * term.z_stride) - mean);
                              }),
                   sums.term + std::int64_t{t} * p.c + cb);
    }
  }
}

template <int V>
void reduce_sources(const NodeMix& p, std::int64_t pixel, GradientRow row,
                    const RollingRows& pooled, const Sums& sums) {
  for (int s = 0; s < p.sources; ++s) {
    const NodeMixSource& source = p.source[s];
    Lanes<V> skip{}, pool{};
    for (int cb = 0; cb < p.c; cb += V) {
      const float* x = source.x + pixel * p.channels + cb;
      if (source.skip_theta >= 0)
        skip += sum_row<V>(p.w, [&](int j) {
          return load<V>(row.dy + j * row.stride + cb) * load<V>(x + std::int64_t{j} * p.channels);
        });
      if (source.pool_theta >= 0)
        pool += sum_row<V>(p.w, [&](int j) {
          return pooled.box<V>(std::int64_t{j} * p.c + cb) *
                 load<V>(x + std::int64_t{j} * p.channels);
        });
    }
    sums.skip[s] += add_up<V>(skip);
    sums.pool[s] += add_up<V>(pool);
  }
}

template <int V>
void reduce_image(const NodeMixBackward& b, int image, float* buffer, const Sums& sums) {
  const NodeMix& p = b.mix;
  const std::int64_t first = std::int64_t{image} * p.h * p.w;
  RollingRows scaled(buffer, p.w, p.c);
  float* gathered = buffer + RollingRows::floats(p.w, p.c);
  const auto row_of = [&](int row) -> GradientRow {
    const float* dy = b.dy + (first + std::int64_t{row} * p.w) * p.channels;
    if (p.parts() == 1) return {dy, p.channels};
    float* to = gathered + std::int64_t{row % 2} * p.w * p.c;
    gather_mixed(dy, p.w, p.c, p.parts(), to);
    return {to, p.c};
  };
  bool pools = false;
  for (int s = 0; s < p.sources; ++s) pools = pools || (b.dtheta && p.source[s].pool_theta >= 0);
  GradientRow row = row_of(0);
  if (pools) divide_by_window<V>(row.dy, row.stride, 0, p.h, p.w, p.c, scaled.row(0));
  for (int i = 0; i < p.h; ++i) {
    const std::int64_t pixel = first + std::int64_t{i} * p.w;
    GradientRow next{};
    if (i + 1 < p.h) next = row_of(i + 1);
    if (pools) {
      if (i + 1 < p.h)
        divide_by_window<V>(next.dy, next.stride, i + 1, p.h, p.w, p.c, scaled.row(i + 1));
      else
        scaled.clear(i + 1);
      scaled.add_rows();
    }
    if (b.dtheta) reduce_sources<V>(p, pixel, row, scaled, sums);
    reduce_terms<V>(p, pixel, row, sums);
    row = next;
  }
}

/// The gates whose operations did not run.
void finish_gates(const NodeMixBackward& b, double dy) {
  const GateRows& gates = b.mix.gates;
  for (int i = 0; i < gates.entries(); ++i)
    if (b.mix.theta[gates.index(i)] == 0.0) b.dtheta[gates.index(i)] += dy;
}

/// From complete sums: gradient of the mixing weights and coefficients of dz.
void finish(const NodeMixBackward& b, const Sums& sums) {
  const NodeMix& p = b.mix;
  const auto add = [&](int theta, double sum) {
    if (b.dtheta && theta >= 0 && p.gates.runs(p.theta, theta)) b.dtheta[theta] += sum;
  };
  const double m = b.count();
  for (int t = 0; t < p.terms; ++t) {
    const NodeMixTerm& term = p.term[t];
    const double theta = p.theta[term.theta];
    float *a = b.coefficients[t], *bz = a + p.c, *constant = bz + p.c;
    double dtheta = 0;
    for (int ch = 0; ch < p.c; ++ch) {
      const double inv = term.inv_std[ch], s = sums.term[std::int64_t{t} * p.c + ch] * inv;
      dtheta += s;
      const double slope = -theta * inv * inv * s / m;
      a[ch] = static_cast<float>(theta * inv);
      bz[ch] = static_cast<float>(slope);
      constant[ch] = static_cast<float>(-theta * inv * sums.dy[ch] / m - slope * term.mean[ch]);
    }
    add(term.theta, dtheta);
  }
  for (int s = 0; s < p.sources; ++s) {
    add(p.source[s].skip_theta, sums.skip[s]);
    add(p.source[s].pool_theta, sums.pool[s]);
  }
  if (b.dtheta && p.gates.adds) finish_gates(b, std::accumulate(sums.dy, sums.dy + p.c, 0.0));
}

std::int64_t thread_floats(const NodeMix& p) {
  return round_up(RollingRows::floats(p.w, p.c) + 2 * std::int64_t{p.w} * p.c, 64);
}
/// Partial sums per image and one total.
std::int64_t sums_doubles(const NodeMix& p) { return round_up((p.n + 1) * Sums::count(p), 32); }

}  // namespace

template <>
std::size_t node_mix_backward_workspace<Device::cpu>(const NodeMix& p) {
  return static_cast<std::size_t>(sums_doubles(p)) * sizeof(double) +
         static_cast<std::size_t>(thread_count() * thread_floats(p)) * sizeof(float);
}

template <>
void node_mix_backward<Device::cpu>(const NodeMixBackward& b, void* workspace, Stream) {
  const NodeMix& p = b.mix;
  const std::int64_t count = Sums::count(p);
  double* partial = static_cast<double*>(workspace);
  float* buffers = reinterpret_cast<float*>(partial + sums_doubles(p));
  std::fill_n(partial, (p.n + 1) * count, 0.0);
  dispatch_lanes(p.c, [&]<int V>() {
    parallel_ranges(p.n, [&](int thread, std::int64_t begin, std::int64_t end) {
      for (std::int64_t image = begin; image < end; ++image)
        reduce_image<V>(b, static_cast<int>(image), buffers + thread * thread_floats(p),
                        Sums(p, partial + (image + 1) * count));
    });
  });
  for (int image = 0; image < p.n; ++image)
    for (std::int64_t i = 0; i < count; ++i) partial[i] += partial[(image + 1) * count + i];
  finish(b, Sums(p, partial));
}

}  // namespace drnas::kernels
