// SPDX-License-Identifier: MIT
#include <omp.h>

#include "kernels/bundle/node_mix.h"
#include "kernels/bundle/node_rows.h"
#include "kernels/core/parallel.h"
#include "kernels/core/transpose_pixel.h"

namespace drnas::kernels {
namespace {

/// The sources that have an operation without parameters, and its mixing weights.
struct WeightedSources {
  int count = 0;
  const float* x[NodeMix::max_sources];
  float weight[NodeMix::max_sources];

  void add(const NodeMix& p, int source, int theta) {
    if (theta < 0) return;
    x[count] = p.source[source].x;
    weight[count++] = static_cast<float>(p.theta[theta]);
  }
};

/// Per-call constants: mixed = sum_t scale_t z_t + offset + ..., scale_t = theta_t inv_std_t,
/// offset = -sum scale_t mean_t.
struct Affine {
  float* scale;   // [terms, c]
  float* offset;  // [c]
  WeightedSources skip, pool;
  bool weighs_bypass = false;
  float bypass[NodeMix::max_sources];

  Affine(const NodeMix& p, float* memory)
      : scale(memory), offset(memory + std::int64_t{p.terms} * p.c) {
    std::fill_n(offset, p.c, 0.0f);
    for (int t = 0; t < p.terms; ++t) {
      const NodeMixTerm& term = p.term[t];
      const float theta = static_cast<float>(p.theta[term.theta]);
      for (int ch = 0; ch < p.c; ++ch) {
        const float a = theta * term.inv_std[ch];
        scale[std::int64_t{t} * p.c + ch] = a;
        offset[ch] -= a * term.mean[ch];
      }
    }
    for (int s = 0; s < p.sources; ++s) {
      skip.add(p, s, p.source[s].skip_theta);
      pool.add(p, s, p.source[s].pool_theta);
      const int theta = p.source[s].bypass_theta;
      bypass[s] = theta < 0 ? 1.0f : static_cast<float>(p.theta[theta]);
      weighs_bypass = weighs_bypass || theta >= 0;
    }
  }
};

/// out[w, c] = sum_s pool_s x_s of one row.
template <int V>
void pooled_input(const NodeMix& p, const Affine& affine, std::int64_t first_pixel, float* out) {
  const float* x[NodeMix::max_sources];
  for (int s = 0; s < affine.pool.count; ++s) x[s] = affine.pool.x[s] + first_pixel * p.channels;
  for (int cb = 0; cb < p.c; cb += V)
    each_pixel_block(p.w, [&]<int P>(std::int64_t j) {
      Lanes<V> sum[P] = {};
      for (int s = 0; s < affine.pool.count; ++s)
        add_weighted<V>(sum, affine.pool.weight[s], x[s] + j * p.channels + cb, p.channels);
      for (int k = 0; k < P; ++k) store<V>(out + (j + k) * p.c + cb, sum[k]);
    });
}

/// One row of mixed channels, out [w, out_stride].
template <int V>
void mix_row(const NodeMix& p, const Affine& affine, int row, std::int64_t first_pixel,
             const RollingRows& pooled, float* out, std::int64_t out_stride) {
  const float *z[NodeMix::max_terms], *x[NodeMix::max_sources];
  for (int t = 0; t < p.terms; ++t) z[t] = p.term[t].z + first_pixel * p.term[t].z_stride;
  for (int s = 0; s < affine.skip.count; ++s) x[s] = affine.skip.x[s] + first_pixel * p.channels;
  const bool pools = affine.pool.count > 0;
  const int rows = window_count(row, p.h);
  for (int cb = 0; cb < p.c; cb += V)
    each_pixel_block(p.w, [&]<int P>(int j) {
      Lanes<V> sum[P];
      for (int k = 0; k < P; ++k) sum[k] = load<V>(affine.offset + cb);
      for (int t = 0; t < p.terms; ++t) {
        const std::int64_t stride = p.term[t].z_stride;
        add_weighted<V>(sum, load<V>(affine.scale + std::int64_t{t} * p.c + cb),
                        z[t] + j * stride + cb, stride);
      }
      for (int s = 0; s < affine.skip.count; ++s)
        add_weighted<V>(sum, affine.skip.weight[s], x[s] + std::int64_t{j} * p.channels + cb,
                        p.channels);
      for (int k = 0; k < P; ++k) {
        if (pools)
          sum[k] += pooled.box<V>(std::int64_t{j + k} * p.c + cb) * window_share(rows, j + k, p.w);
        store<V>(out + (j + k) * out_stride + cb, sum[k]);
      }
    });
}

/// Stores a row with the bypassed channels in shuffled order. `mixed` [w, channels] holds the mixed
/// channels of each pixel first; the rest is scratch.
template <int V>
void shuffle_row(const NodeMix& p, const Affine& affine, std::int64_t first_pixel, float* mixed,
                 float* y) {
  const PixelTranspose shuffle(p.parts(), p.c);
  const float* bypass[NodeMix::max_sources];
  for (int j = 0; j < p.w; ++j) {
    const std::int64_t at = (first_pixel + j) * p.channels;
    for (int s = 0; s < p.sources; ++s) bypass[s] = p.source[s].x + at + p.c;
    float* pixel = mixed + std::int64_t{j} * p.channels;
    if (affine.weighs_bypass)
      add_weighted_arrays(bypass, affine.bypass, p.sources, p.channels - p.c, pixel + p.c);
    else
      add_arrays<V>(bypass, p.sources, p.channels - p.c, pixel + p.c);
    shuffle(pixel, y + at);
  }
}

template <int V>
void mix_image(const NodeMix& p, const Affine& affine, int image, float* buffer, float* y) {
  const std::int64_t first = std::int64_t{image} * p.h * p.w;
  RollingRows pooled(buffer, p.w, p.c);
  float* mixed = buffer + RollingRows::floats(p.w, p.c);
  const bool shuffled = p.parts() > 1, pools = affine.pool.count > 0;
  if (pools) pooled_input<V>(p, affine, first, pooled.row(0));
  for (int row = 0; row < p.h; ++row) {
    const std::int64_t pixel = first + std::int64_t{row} * p.w;
    if (pools) {
      if (row + 1 < p.h)
        pooled_input<V>(p, affine, pixel + p.w, pooled.row(row + 1));
      else
        pooled.clear(row + 1);
      pooled.add_rows();
    }
    if (shuffled) {
      mix_row<V>(p, affine, row, pixel, pooled, mixed, p.channels);
      shuffle_row<V>(p, affine, pixel, mixed, y);
    } else {
      mix_row<V>(p, affine, row, pixel, pooled, y + pixel * p.channels, p.channels);
    }
  }
}

std::int64_t thread_floats(const NodeMix& p) {
  return round_up(RollingRows::floats(p.w, p.c) + std::int64_t{p.w} * p.channels, 64);
}
std::int64_t affine_floats(const NodeMix& p) {
  return round_up(std::int64_t{p.terms + 1} * p.c, 64);
}

}  // namespace

template <>
std::size_t node_mix_workspace<Device::cpu>(const NodeMix& p) {
  return sizeof(float) *
         static_cast<std::size_t>(affine_floats(p) + thread_count() * thread_floats(p));
}

template <>
void node_mix_forward<Device::cpu>(const NodeMix& p, float* y, void* workspace, Stream) {
  float* memory = static_cast<float*>(workspace);
  const Affine affine(p, memory);
  dispatch_lanes(p.c, [&]<int V>() {
    parallel_ranges(p.n, [&](int thread, std::int64_t begin, std::int64_t end) {
      float* buffer = memory + affine_floats(p) + thread * thread_floats(p);
      for (std::int64_t image = begin; image < end; ++image)
        mix_image<V>(p, affine, static_cast<int>(image), buffer, y);
    });
  });
}

}  // namespace drnas::kernels
