// SPDX-License-Identifier: MIT
#include "kernels/alpha/softmax_rows.h"

#include <cmath>

#include "kernels/core/launch.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 128;

/// One thread an entry; each adds its row in order, so that all entries share the same sum.
__global__ void __launch_bounds__(threads) forward_kernel(int edges, int ops, const double* alpha,
                                                          const std::uint8_t* kept, double* theta) {
  const int i = static_cast<int>(global_thread());
  if (i >= edges * ops) return;
  const int row = i / ops * ops;
  const auto is_kept = [kept](int j) { return kept == nullptr || kept[j] != 0; };
  double largest = -INFINITY, sum = 0, own = 0;
  for (int j = row; j < row + ops; ++j)
    if (is_kept(j) && alpha[j] > largest) largest = alpha[j];
  for (int j = row; j < row + ops; ++j) {
    const double share = is_kept(j) ? std::exp(alpha[j] - largest) : 0.0;
    sum += share;
    own = j == i ? share : own;
  }
  theta[i] = own / sum;
}

/// One thread an entry.
__global__ void __launch_bounds__(threads)
    backward_kernel(int edges, int ops, const double* theta, const double* dtheta, double* dalpha) {
  const int i = static_cast<int>(global_thread());
  if (i >= edges * ops) return;
  const int row = i / ops * ops;
  double mean = 0;
  for (int j = row; j < row + ops; ++j) mean += theta[j] * dtheta[j];
  dalpha[i] = theta[i] * (dtheta[i] - mean);
}

LaunchShape shape_for(int edges, int ops) {
  return {blocks_for(std::int64_t{edges} * ops, threads), threads};
}

}  // namespace

template <>
void softmax_rows<Device::cuda>(int edges, int ops, const double* alpha, const std::uint8_t* kept,
                                double* theta, Stream stream) {
  launch("softmax_rows", forward_kernel, shape_for(edges, ops), stream, edges, ops, alpha, kept,
         theta);
}

template <>
void softmax_rows_backward<Device::cuda>(int edges, int ops, const double* theta,
                                         const double* dtheta, double* dalpha, Stream stream) {
  launch("softmax_rows_backward", backward_kernel, shape_for(edges, ops), stream, edges, ops, theta,
         dtheta, dalpha);
}

}  // namespace drnas::kernels
