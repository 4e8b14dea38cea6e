// SPDX-License-Identifier: MIT
#pragma once

#include <array>

#include "kernels/planes/planes.h"

namespace drnas::kernels {

/// Pooling on planes x [n, c, h, w]: average (pixels outside are not counted) or maximum (the first
/// in row-major window order wins), with the statistics that batch normalisation of the result
/// needs.
struct PlanePool {
  int n, c, h, w;
  int kernel, stride, padding;
  bool max;

  DRNAS_HD int out_h() const { return (h + 2 * padding - kernel) / stride + 1; }
  DRNAS_HD int out_w() const { return (w + 2 * padding - kernel) / stride + 1; }
};
template <Device D>
std::size_t plane_pool_workspace(const PlanePool& p);
/// y [n, c, out_h, out_w] overwritten. statistics.mean null: none are wanted (no workspace needed).
/// `gates`: of all edges that use the result, on CUDA: where all of them are zero the pool does not
/// run (see PlaneStatistics::gate).
template <Device D>
void plane_pool_forward(const PlanePool& p, ConstPlanes x, Planes y,
                        const PlaneStatistics& statistics, const NormMode& mode, void* workspace,
                        Stream, const SharedGates& gates = {});

/// The same as two calls for one x, for the maximum and then for the average; `p.max` is not read.
template <Device D>
std::size_t plane_pools_workspace(const PlanePool& p);
template <Device D>
void plane_pools_forward(const PlanePool& p, ConstPlanes x, const Planes (&y)[2],
                         const PlaneStatistics (&statistics)[2], const NormMode& mode,
                         void* workspace, Stream, const std::array<SharedGates, 2>& gates = {});

/// One pooled tensor serves several edges, each with a normalisation and a mixing weight of its
/// own:
///   dp = sum_e (A_e g_e + B_e p + C_e),   dx (+)= P^T dp
/// p is the pooled tensor that forward left (may be null where no gradient has coefficients); x is
/// read for maximum pooling only.
struct PlanePoolBackward {
  static constexpr int max_edges = 8;
  PlanePool pool;
  ConstPlanes x, pooled;
  int edges;
  PlaneGradient gradient[max_edges];
  Planes dx;
  bool accumulate;
};
template <Device D>
void plane_pool_backward(const PlanePoolBackward& p, Stream);
/// The same as two calls, for the maximum and then for the average of the same x, whose share is
/// added to the same dx.
template <Device D>
void plane_pools_backward(const PlanePoolBackward& maximum, const PlanePoolBackward& average,
                          Stream);

}  // namespace drnas::kernels
