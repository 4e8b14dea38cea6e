// SPDX-License-Identifier: MIT
#include "kernels/alpha/softmax_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace drnas::kernels {

template <>
void softmax_rows<Device::cpu>(int edges, int ops, const double* alpha, const std::uint8_t* kept,
                               double* theta, Stream) {
  for (int e = 0; e < edges; ++e, alpha += ops, theta += ops, kept += kept ? ops : 0) {
    const auto is_kept = [&](int o) { return !kept || kept[o]; };
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int o = 0; o < ops; ++o)
      if (is_kept(o)) largest = std::max(largest, alpha[o]);
    for (int o = 0; o < ops; ++o) sum += theta[o] = is_kept(o) ? std::exp(alpha[o] - largest) : 0.0;
    for (int o = 0; o < ops; ++o) theta[o] /= sum;
  }
}

template <>
void softmax_rows_backward<Device::cpu>(int edges, int ops, const double* theta,
                                        const double* dtheta, double* dalpha, Stream) {
  for (int e = 0; e < edges; ++e, theta += ops, dtheta += ops, dalpha += ops) {
    double mean = 0;
    for (int o = 0; o < ops; ++o) mean += theta[o] * dtheta[o];
    for (int o = 0; o < ops; ++o) dalpha[o] = theta[o] * (dtheta[o] - mean);
  }
}

}  // namespace drnas::kernels
