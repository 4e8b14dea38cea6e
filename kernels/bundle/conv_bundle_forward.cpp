// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/conv_bundle_chunk.h"
#include "kernels/layers/batch_norm.h"

namespace drnas::kernels {
namespace {

/// Scratch of one call: packed weights and image moments shared, the rectified chunk and the
/// convolution's scratch per thread.
struct ForwardScratch {
  float* packed[ConvBundle::max_sizes];
  float* staging;
  float* moments[ConvBundle::max_sizes];  // [n, 2, z_channels(size)]: mean, M2 of each image
  std::vector<float*> u;
  std::vector<std::byte*> convolution;
  std::size_t bytes;

  ForwardScratch(const BundleChunk& chunk, void* memory) {
    Carver carve(memory);
    const ConvBundle& b = chunk.bundle;
    std::int64_t staging_floats = 0, convolution_bytes = 0;
    for (int s = 0; s < b.sizes; ++s) {
      const BundleConvolution plan = chunk.plan(s, ConvPass::forward);
      packed[s] = reinterpret_cast<float*>(
          carve.take<std::byte>(static_cast<std::int64_t>(plan.packed_bytes())));
      moments[s] = carve.take<float>(std::int64_t{b.n} * 2 * b.z_channels(s));
      staging_floats = std::max(staging_floats, plan.staging_floats());
      convolution_bytes =
          std::max(convolution_bytes, static_cast<std::int64_t>(plan.scratch_bytes()));
    }
    staging = carve.take<float>(staging_floats);
    for (int t = 0; t < thread_count(); ++t) {
      u.push_back(carve.take<float>(chunk.pixels() * chunk.c_pad));
      convolution.push_back(carve.take<std::byte>(convolution_bytes));
    }
    bytes = carve.bytes();
  }
};

/// Merges the moments of the images (Chan et al. 1983) in order, in double.
void finish_statistics(const ConvBundleForward& p, int size, const float* moments) {
  const ConvBundle& b = p.bundle;
  const int zc = b.z_channels(size);
  const double pixels = static_cast<double>(b.h) * b.w, total = pixels * b.n;
  for (int ch = 0; ch < b.rows(size); ++ch) {
    double mean = 0, m2 = 0;
    for (int i = 0; i < b.n; ++i) {
      const float* image = moments + std::int64_t{i} * 2 * zc;
      const double delta = image[ch] - mean;
      mean += delta / (i + 1);
      m2 += image[zc + ch] + delta * delta * pixels * i / (i + 1);
    }
    p.mean[size][ch] = static_cast<float>(mean);
    p.inv_std[size][ch] = static_cast<float>(1.0 / std::sqrt(m2 / total + p.eps));
    if (!p.running_mean[size] || !p.runs(size, ch)) continue;
    float &running_mean = p.running_mean[size][ch], &running_var = p.running_var[size][ch];
    const double unbiased = m2 / std::max(1.0, total - 1);
    running_mean = static_cast<float>((1.0 - p.momentum) * running_mean + p.momentum * mean);
    running_var = static_cast<float>((1.0 - p.momentum) * running_var + p.momentum * unbiased);
  }
}

void use_running_statistics(const ConvBundleForward& p, int size) {
  for (int ch = 0; ch < p.bundle.rows(size); ++ch) {
    p.mean[size][ch] = p.running_mean[size][ch];
    p.inv_std[size][ch] =
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.running_var[size][ch]) + p.eps));
  }
}

void run_chunk(const ConvBundleForward& p, const BundleChunk& chunk, const ForwardScratch& scratch,
               int thread, std::int64_t index) {
  const ConvBundle& b = p.bundle;
  const std::int64_t first = index * chunk.pixels();
  float* u = scratch.u[thread];
  rectify_pixels(b, p.x + first * b.x_channels, chunk.pixels(), chunk.c_pad, u);
  for (int s = 0; s < b.sizes; ++s) {
    const int zc = b.z_channels(s);
    float* z = p.z[s] + first * zc;
    chunk.plan(s, ConvPass::forward).run(u, scratch.packed[s], z, scratch.convolution[thread]);
    if (!p.training) continue;
    for (int i = 0; i < chunk.images; ++i) {
      float* moments = scratch.moments[s] + (index * chunk.images + i) * 2 * zc;
      channel_moments(z + i * chunk.image_pixels() * zc, chunk.image_pixels(), zc, zc, moments,
                      moments + zc);
    }
  }
}

}  // namespace

template <>
std::size_t conv_bundle_forward_workspace<Device::cpu>(const ConvBundle& p) {
  if (p.sizes == 0) return 0;
  return ForwardScratch(BundleChunk(p), nullptr).bytes;
}

template <>
void conv_bundle_forward<Device::cpu>(const ConvBundleForward& p, void* workspace, Stream) {
  if (p.bundle.sizes == 0) return;
  const BundleChunk chunk(p.bundle);
  const ForwardScratch scratch(chunk, workspace);
  const ConvBundle& b = p.bundle;
  for (int s = 0; s < b.sizes; ++s)
    chunk.plan(s, ConvPass::forward)
        .pack(p.weight[s], b.rows(s), b.c, scratch.packed[s], scratch.staging);
  parallel_ranges(chunk.count(), [&](int thread, std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index)
      run_chunk(p, chunk, scratch, thread, index);
  });
  for (int s = 0; s < b.sizes; ++s)
    if (p.training)
      finish_statistics(p, s, scratch.moments[s]);
    else
      use_running_statistics(p, s);
}

}  // namespace drnas::kernels
