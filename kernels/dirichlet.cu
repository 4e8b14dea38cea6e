// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>

#include "kernels/dirichlet.h"
#include "kernels/dirichlet_row.h"

namespace drnas::kernels {
namespace {

constexpr int threads = 128;

/// One block a row, one thread an entry.
__global__ void sample_kernel(DirichletSample p) {
  __shared__ double log_gamma[max_ops];
  const int edge = blockIdx.x, op = threadIdx.x;
  log_gamma[op] = draw_log_gamma(p, edge, op);
  __syncthreads();
  store_draw(p, log_gamma, edge, op);
}

/// One thread an entry.
__global__ void backward_kernel(DirichletBackward p) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < p.edges * p.ops) p.dalpha[i] = alpha_gradient(p, i / p.ops, i % p.ops);
}

/// One block; the first thread adds the rows in order.
__global__ void kl_kernel(KlToUniform p) {
  for (int i = threadIdx.x; i < p.edges * p.ops; i += blockDim.x)
    add_kl_gradient(p, i / p.ops, i % p.ops);
  for (int edge = threadIdx.x; edge < p.edges; edge += blockDim.x)
    p.row_kl[edge] = kl_to_uniform_row(p.concentration + edge * p.ops, p.ops);
  __syncthreads();
  if (threadIdx.x != 0) return;
  double total = 0.0;
  for (int edge = 0; edge < p.edges; ++edge) total += p.row_kl[edge];
  *p.total = total;
}

void check_launch(const char* name) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess)
    throw Error(std::string(name) + ": launch failed: " + cudaGetErrorString(status));
}

}  // namespace

template <>
void dirichlet_sample<Device::cuda>(const DirichletSample& p, Stream stream) {
  check_rows("dirichlet_sample", p.edges, p.ops);
  if (p.edges == 0) return;
  sample_kernel<<<p.edges, p.ops, 0, static_cast<cudaStream_t>(stream)>>>(p);
  check_launch("dirichlet_sample");
}

template <>
void dirichlet_backward<Device::cuda>(const DirichletBackward& p, Stream stream) {
  check_rows("dirichlet_backward", p.edges, p.ops);
  if (p.edges == 0) return;
  const int grid = (p.edges * p.ops + threads - 1) / threads;
  backward_kernel<<<grid, threads, 0, static_cast<cudaStream_t>(stream)>>>(p);
  check_launch("dirichlet_backward");
}

template <>
void kl_to_uniform<Device::cuda>(const KlToUniform& p, Stream stream) {
  check_rows("kl_to_uniform", p.edges, p.ops);
  kl_kernel<<<1, threads, 0, static_cast<cudaStream_t>(stream)>>>(p);
  check_launch("kl_to_uniform");
}

}  // namespace drnas::kernels
