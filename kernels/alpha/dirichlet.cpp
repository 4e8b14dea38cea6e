// SPDX-License-Identifier: MIT
#include "kernels/alpha/dirichlet.h"

#include "kernels/alpha/dirichlet_row.h"

namespace drnas::kernels {
namespace {

/// Up to here a row's few microseconds cost less than waking the threads.
constexpr int serial_rows = 8;

}  // namespace

template <>
void dirichlet_sample<Device::cpu>(const DirichletSample& p, Stream) {
  check_rows("dirichlet_sample", p.edges, p.ops);
#pragma omp parallel for schedule(static) if (p.edges > serial_rows)
  for (int edge = 0; edge < p.edges; ++edge) {
    double log_gamma[max_ops];
    for (int op = 0; op < p.ops; ++op) log_gamma[op] = draw_log_gamma(p, edge, op);
    for (int op = 0; op < p.ops; ++op) store_draw(p, log_gamma, edge, op);
  }
}

template <>
void dirichlet_backward<Device::cpu>(const DirichletBackward& p, Stream) {
  check_rows("dirichlet_backward", p.edges, p.ops);
  for (int edge = 0; edge < p.edges; ++edge)
    for (int op = 0; op < p.ops; ++op) p.dalpha[edge * p.ops + op] = alpha_gradient(p, edge, op);
}

}  // namespace drnas::kernels
