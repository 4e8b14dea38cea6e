// SPDX-License-Identifier: MIT
#include "kernels/layers/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"

namespace drnas::kernels {
namespace {

/// Pixels whose channels are reduced together: fixed, so that sums do not depend on the thread
/// count.
constexpr std::int64_t block_pixels = 64;

std::int64_t block_count(const BatchNorm& p) {
  return (p.pixels + block_pixels - 1) / block_pixels;
}

std::int64_t pixels_in(const BatchNorm& p, std::int64_t block) {
  return std::min(block_pixels, p.pixels - block * block_pixels);
}

/// y = scale x + shift, the normalisation of each channel.
struct Affine {
  float *scale, *shift;

  Affine(const BatchNorm& p, const float* mean, const float* inv_std, float* memory)
      : scale(memory), shift(memory + p.channels) {
    for (int c = 0; c < p.channels; ++c) {
      scale[c] = (p.gamma ? p.gamma[c] : 1.0f) * inv_std[c];
      shift[c] = (p.beta ? p.beta[c] : 0.0f) - scale[c] * mean[c];
    }
  }
};

/// `added`: see batch_norm_inference().
void apply(const BatchNorm& p, const Affine& affine, const float* x, const float* added, float* y) {
  const float floor = p.relu ? 0.0f : -INFINITY;
  const float* __restrict scale = affine.scale, * __restrict shift = affine.shift;
  parallel_ranges(p.pixels, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* __restrict in = x + i * p.channels;
      float* __restrict out = y + i * p.channels;
#pragma omp simd
      for (int c = 0; c < p.channels; ++c) {
        const float value = scale[c] * in[c] + shift[c];
        out[c] = value < floor ? floor : value;
      }
      if (added == nullptr) continue;
#pragma omp simd
      for (int c = 0; c < p.channels; ++c) out[c] += added[i * p.channels + c];
    }
  });
}

/// Merges (mean, M2) of the blocks in order, in double (Chan et al. 1983).
void finish_statistics(const BatchNorm& p, const float* moments, float* mean_out, float* inv_std) {
  const double total = static_cast<double>(p.pixels);
  for (int c = 0; c < p.channels; ++c) {
    double count = 0, mean = 0, m2 = 0;
    for (std::int64_t b = 0; b < block_count(p); ++b) {
      const float* block = moments + b * 2 * p.channels;
      const double added = static_cast<double>(pixels_in(p, b)), delta = block[c] - mean;
      mean += delta * added / (count + added);
      m2 += block[p.channels + c] + delta * delta * count * added / (count + added);
      count += added;
    }
    mean_out[c] = static_cast<float>(mean);
    inv_std[c] = static_cast<float>(1.0 / std::sqrt(m2 / total + p.eps));
    if (!p.running_mean) continue;
    const double unbiased = m2 / std::max(1.0, total - 1);
    p.running_mean[c] =
        static_cast<float>((1.0 - p.momentum) * p.running_mean[c] + p.momentum * mean);
    p.running_var[c] =
        static_cast<float>((1.0 - p.momentum) * p.running_var[c] + p.momentum * unbiased);
  }
}

/// sum dy' and sum dy' (x - mean) of one block.
void reduce_block(const BatchNorm& p, const Affine& affine, const float* x, const float* dy,
                  const float* mean, std::int64_t block, float* sums) {
  float* __restrict sum = sums, * __restrict product = sums + p.channels;
  const float* __restrict scale = affine.scale, * __restrict shift = affine.shift, * __restrict centre = mean;
  const float floor = p.relu ? 0.0f : -INFINITY;
  std::fill_n(sums, 2 * p.channels, 0.0f);
  for (std::int64_t i = 0; i < pixels_in(p, block); ++i) {
    const float* __restrict in = x + (block * block_pixels + i) * p.channels;
    const float* __restrict d = dy + (block * block_pixels + i) * p.channels;
#pragma omp simd
    for (int c = 0; c < p.channels; ++c) {
      const float g = scale[c] * in[c] + shift[c] > floor ? d[c] : 0.0f;
      sum[c] += g;
      product[c] += g * (in[c] - centre[c]);
    }
  }
}

/// dx = a dy' + b x + constant.
void apply_backward(const BatchNorm& p, const Affine& affine, const float* x, const float* dy,
                    const float* coefficients, float* dx, bool accumulate) {
  const float* __restrict scale = affine.scale, * __restrict shift = affine.shift;
  const float* __restrict slope = coefficients, * __restrict constant = coefficients + p.channels;
  const float floor = p.relu ? 0.0f : -INFINITY, keep = accumulate ? 1.0f : 0.0f;
  parallel_ranges(p.pixels, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* __restrict in = x + i * p.channels;
      const float* __restrict d = dy + i * p.channels;
      float* __restrict out = dx + i * p.channels;
      if (!accumulate) std::fill_n(out, p.channels, 0.0f);
#pragma omp simd
      for (int c = 0; c < p.channels; ++c) {
        const float g = scale[c] * in[c] + shift[c] > floor ? d[c] : 0.0f;
        out[c] = keep * out[c] + (scale[c] * g + slope[c] * in[c] + constant[c]);
      }
    }
  });
}

/// Sums of `value(lanes)` over all pixels of N vectors of V channels: four pixels at a time, so
/// that additions do not wait for each other.
template <int V, int N, class Value>
void sum_pixels(const float* x, std::int64_t pixels, std::int64_t stride, Lanes<V> (&total)[N],
                const Value& value) {
  Lanes<V> sum[4][N] = {};
  const auto add = [&](int k, std::int64_t pixel) {
    for (int n = 0; n < N; ++n) sum[k][n] += value(load<V>(x + pixel * stride + n * V), n);
  };
  std::int64_t i = 0;
  for (; i + 4 <= pixels; i += 4) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) add(k, i + k);
  }
  for (; i < pixels; ++i) add(0, i);
  for (int n = 0; n < N; ++n) total[n] = (sum[0][n] + sum[1][n]) + (sum[2][n] + sum[3][n]);
}

template <int V, int N>
void moments_of_block(const float* x, std::int64_t pixels, std::int64_t stride, float* mean,
                      float* m2) {
  Lanes<V> sum[N], squares[N];
  sum_pixels<V, N>(x, pixels, stride, sum, [](Lanes<V> v, int) { return v; });
  for (int n = 0; n < N; ++n) sum[n] *= 1.0f / static_cast<float>(pixels);
  sum_pixels<V, N>(x, pixels, stride, squares, [&](Lanes<V> v, int n) {
    const Lanes<V> deviation = v - sum[n];
    return deviation * deviation;
  });
  for (int n = 0; n < N; ++n) {
    store<V>(mean + n * V, sum[n]);
    store<V>(m2 + n * V, squares[n]);
  }
}

}  // namespace

void channel_moments(const float* x, std::int64_t pixels, std::int64_t stride, int channels,
                     float* mean, float* m2) {
  int c = 0;
  for (; c + 16 <= channels; c += 16)
    moments_of_block<8, 2>(x + c, pixels, stride, mean + c, m2 + c);
  for (; c + 8 <= channels; c += 8) moments_of_block<8, 1>(x + c, pixels, stride, mean + c, m2 + c);
  for (; c + 4 <= channels; c += 4) moments_of_block<4, 1>(x + c, pixels, stride, mean + c, m2 + c);
  for (; c < channels; ++c) moments_of_block<1, 1>(x + c, pixels, stride, mean + c, m2 + c);
}

template <>
std::size_t batch_norm_workspace<Device::cpu>(const BatchNorm& p) {
  return sizeof(float) * static_cast<std::size_t>((block_count(p) + 2) * 2 * p.channels);
}

template <>
void batch_norm_forward<Device::cpu>(const BatchNorm& p, const float* x, float* y, float* mean,
                                     float* inv_std, void* workspace, Stream) {
  float* moments = static_cast<float*>(workspace);
  parallel_ranges(block_count(p), [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      float* block = moments + b * 2 * p.channels;
      channel_moments(x + b * block_pixels * p.channels, pixels_in(p, b), p.channels, p.channels,
                      block, block + p.channels);
    }
  });
  finish_statistics(p, moments, mean, inv_std);
  apply(p, Affine(p, mean, inv_std, moments), x, nullptr, y);
}

template <>
void running_statistics<Device::cpu>(const BatchNorm& p, float* mean, float* inv_std, Stream) {
  for (int c = 0; c < p.channels; ++c) {
    mean[c] = p.running_mean[c];
    inv_std[c] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.running_var[c]) + p.eps));
  }
}

template <>
void batch_norm_inference<Device::cpu>(const BatchNorm& p, const float* x, const float* added,
                                       float* y, void* workspace, Stream stream) {
  float* memory = static_cast<float*>(workspace);
  float *inv_std = memory + 2 * p.channels, *mean = inv_std + p.channels;
  running_statistics<Device::cpu>(p, mean, inv_std, stream);
  apply(p, Affine(p, p.running_mean, inv_std, memory), x, added, y);
}

template <>
void batch_norm_backward<Device::cpu>(const BatchNorm& p, const float* x, const float* dy,
                                      const float* mean, const float* inv_std, float* dx,
                                      bool accumulate, float* dgamma, float* dbeta, void* workspace,
                                      Stream) {
  float* memory = static_cast<float*>(workspace);
  const Affine affine(p, mean, inv_std, memory);
  float *coefficients = memory + 2 * p.channels, *partial = coefficients + 2 * p.channels;
  parallel_ranges(block_count(p), [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b)
      reduce_block(p, affine, x, dy, mean, b, partial + b * 2 * p.channels);
  });
  for (int c = 0; c < p.channels; ++c) {
    double sum = 0, product = 0;
    for (std::int64_t b = 0; b < block_count(p); ++b) {
      sum += partial[b * 2 * p.channels + c];
      product += partial[b * 2 * p.channels + p.channels + c];
    }
    const double m = p.count(), hat = product * inv_std[c];
    if (dgamma) dgamma[c] = static_cast<float>(hat);
    if (dbeta) dbeta[c] = static_cast<float>(sum);
    const double slope = -affine.scale[c] * hat * inv_std[c] / m;
    coefficients[c] = static_cast<float>(slope);
    coefficients[p.channels + c] = static_cast<float>(-affine.scale[c] * sum / m - slope * mean[c]);
  }
  apply_backward(p, affine, x, dy, coefficients, dx, accumulate);
}

}  // namespace drnas::kernels
