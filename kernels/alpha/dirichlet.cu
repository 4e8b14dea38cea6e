// SPDX-License-Identifier: MIT
#include "kernels/alpha/dirichlet.h"
#include "kernels/alpha/dirichlet_row.h"
#include "kernels/core/launch.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 128;

/// One block a row, one thread an entry.
__global__ void sample_kernel(DirichletSample p) {
  double* log_gamma = static_cast<double*>(shared_memory());  // [ops]
  const int edge = blockIdx.x, op = threadIdx.x;
  log_gamma[op] = draw_log_gamma(p, edge, op);
  __syncthreads();
  store_draw(p, log_gamma, edge, op);
}

/// One thread an entry.
__global__ void backward_kernel(DirichletBackward p) {
  const int i = static_cast<int>(global_thread());
  if (i < p.edges * p.ops) p.dalpha[i] = alpha_gradient(p, i / p.ops, i % p.ops);
}

}  // namespace

template <>
void dirichlet_sample<Device::cuda>(const DirichletSample& p, Stream stream) {
  check_rows("dirichlet_sample", p.edges, p.ops);
  const LaunchShape shape{p.edges, static_cast<unsigned>(p.ops), p.ops * sizeof(double)};
  launch("dirichlet_sample", sample_kernel, shape, stream, p);
}

template <>
void dirichlet_backward<Device::cuda>(const DirichletBackward& p, Stream stream) {
  check_rows("dirichlet_backward", p.edges, p.ops);
  launch("dirichlet_backward", backward_kernel, {blocks_for(p.edges * p.ops, threads), threads},
         stream, p);
}

}  // namespace drnas::kernels
