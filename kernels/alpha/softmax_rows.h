// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/device.h"

namespace drnas::kernels {

/// theta = softmax of each row of alpha [edges, ops], float64; pruned entries (kept 0) get 0. kept
/// may be null: all are.
template <Device D>
void softmax_rows(int edges, int ops, const double* alpha, const std::uint8_t* kept, double* theta,
                  Stream);
/// dalpha_i = theta_i (g_i - sum_j theta_j g_j), overwritten.
template <Device D>
void softmax_rows_backward(int edges, int ops, const double* theta, const double* dtheta,
                           double* dalpha, Stream);

}  // namespace drnas::kernels
