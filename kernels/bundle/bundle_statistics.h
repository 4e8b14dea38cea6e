// SPDX-License-Identifier: MIT
// What batch normalisation keeps of a bundle's channels, for .cu files.
#pragma once

#include "kernels/bundle/conv_bundle.h"
#include "kernels/core/launch.h"

namespace drnas::kernels {
namespace {

/// Mean and sum of squared deviations of some pixels of a channel.
struct Merged {
  double mean, m2;
};

/// The statistics of a channel whose convolution does not run.
template <class T>
__device__ void rest(const ConvBundleForwardOf<T>& p, int s, int channel) {
  p.mean[s][channel] = p.inv_std[s][channel] = 0.0f;
}

/// The statistics that training leaves, as the CPU twin's finish_statistics.
template <class T>
__device__ void store_statistics(const ConvBundleForwardOf<T>& p, int s, int channel, double total,
                                 const Merged& merged) {
  if (!p.runs(s, channel)) return rest(p, s, channel);
  p.mean[s][channel] = static_cast<float>(merged.mean);
  p.inv_std[s][channel] = static_cast<float>(1.0 / sqrt(merged.m2 / total + p.eps));
  if (!p.running_mean[s]) return;
  float &running_mean = p.running_mean[s][channel], &running_var = p.running_var[s][channel];
  const double unbiased = merged.m2 / (total > 2 ? total - 1 : 1.0);
  running_mean = static_cast<float>((1.0 - p.momentum) * running_mean + p.momentum * merged.mean);
  running_var = static_cast<float>((1.0 - p.momentum) * running_var + p.momentum * unbiased);
}

/// Evaluation: those of the running statistics.
template <class T>
__device__ void load_statistics(const ConvBundleForwardOf<T>& p, int s, int channel) {
  if (!p.runs(s, channel)) return rest(p, s, channel);
  p.mean[s][channel] = p.running_mean[s][channel];
  p.inv_std[s][channel] =
      static_cast<float>(1.0 / sqrt(static_cast<double>(p.running_var[s][channel]) + p.eps));
}

}  // namespace
}  // namespace drnas::kernels
