// SPDX-License-Identifier: MIT
// Batched matrix products around small kernels: these write a dense copy of the pixels that are
// read (where ReLU or sampling makes it differ from x), mask and place dx, and add the images'
// parts of dweight in a fixed order.
#include "kernels/planes/conv1x1_planes.h"

#include <algorithm>

#include "kernels/core/carver.h"
#include "kernels/core/cuda_vector.h"
#include "kernels/layers/batched_product.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 256;
constexpr int max_rows = 65535;  // second extent of a grid

/// Blocks along an image's elements; its images are blockIdx.y, blockIdx.y + gridDim.y, ...
LaunchShape over_images(int n, std::int64_t vectors) {
  return {.blocks = blocks_for(vectors, threads),
          .threads = threads,
          .rows = static_cast<unsigned>(std::clamp(n, 0, max_rows))};
}

__device__ inline float rectified(float x) { return x > 0.0f ? x : 0.0f; }

/// u = max(0, x): images of `count` elements, dense in u.
template <int V>
__global__ void __launch_bounds__(threads)
    rectify_kernel(int n, std::int64_t count, ConstPlanes x, float* u) {
  const std::int64_t at = global_thread() * V;
  if (at >= count) return;
  for (std::int64_t i = blockIdx.y; i < n; i += gridDim.y) {
    float value[V];
    load_vector(x.data + i * x.stride + at, value);
    for (int v = 0; v < V; ++v) value[v] = rectified(value[v]);
    store_vector(u + i * count + at, value);
  }
}

/// Row and column of one of a plane's elements, counted through the planes of an image: `row` goes
/// on from plane to plane.
struct RowColumn {
  std::int64_t row;
  int column;

  __device__ RowColumn(std::int64_t at, int width)
      : row(at / width), column(static_cast<int>(at - row * width)) {}
};

/// u [offsets, n, c_in, out_h, out_w] = every second pixel of x from (offset, offset) on, for
/// `offsets` offsets from `first` on. Planes have an even number of rows, so that rows of u count
/// on as half the rows of x do.
__global__ void __launch_bounds__(threads)
    sample_kernel(Conv1x1Planes p, int first, int offsets, ConstPlanes x, float* u,
                  const double* gate) {
  if (!gate_open(gate)) return;
  const std::int64_t count = std::int64_t{p.c_in} * p.out_h() * p.out_w();
  std::int64_t at = global_thread();
  if (at >= count * offsets) return;
  int offset = first;
  if (at >= count) {
    at -= count;
    u += p.n * count;
    ++offset;
  }
  const RowColumn to(at, p.out_w());
  const std::int64_t from = (2 * to.row + offset) * p.w + 2 * to.column + offset;
  for (std::int64_t i = blockIdx.y; i < p.n; i += gridDim.y) {
    const float value = x.data[i * x.stride + from];
    u[i * count + at] = p.relu ? rectified(value) : value;
  }
}

/// dx = g where x > 0, else 0 (added where `accumulate`); images of `count` elements. g may be dx.
template <int V>
__global__ void __launch_bounds__(threads) mask_kernel(int n, std::int64_t count, ConstPlanes x,
                                                       ConstPlanes g, bool accumulate, Planes dx) {
  const std::int64_t at = global_thread() * V;
  if (at >= count) return;
  for (std::int64_t i = blockIdx.y; i < n; i += gridDim.y) {
    float value[V], gradient[V], before[V] = {};
    load_vector(x.data + i * x.stride + at, value);
    load_vector(g.data + i * g.stride + at, gradient);
    if (accumulate) load_vector(dx.data + i * dx.stride + at, before);
    for (int v = 0; v < V; ++v) before[v] += value[v] > 0.0f ? gradient[v] : 0.0f;
    store_vector(dx.data + i * dx.stride + at, before);
  }
}

/// Gradients [n, c_in, out_h, out_w] of the sampled pixels by offset; null: none were read.
struct SampledGradients {
  const float *even, *odd;
};

/// dx (c_in planes an image) from the gradients of its sampled pixels.
__global__ void __launch_bounds__(threads)
    scatter_kernel(Conv1x1Planes p, ConstPlanes x, SampledGradients g, bool accumulate, Planes dx,
                   const double* gate) {
  const bool runs = gate_open(gate);
  if (accumulate && !runs) return;
  const std::int64_t count = std::int64_t{p.c_in} * p.h * p.w, at = global_thread();
  if (at >= count) return;
  const RowColumn place(at, p.w);
  const int offset = place.column % 2;
  const float* gradient = !runs || place.row % 2 != offset ? nullptr : offset ? g.odd : g.even;
  if (accumulate && !gradient) return;
  const std::int64_t from = place.row / 2 * p.out_w() + place.column / 2;
  for (std::int64_t i = blockIdx.y; i < p.n; i += gridDim.y) {
    float value = gradient ? gradient[i * (count / 4) + from] : 0.0f;
    if (p.relu && !(x.data[i * x.stride + at] > 0.0f)) value = 0.0f;
    float* to = dx.data + i * dx.stride + at;
    *to = accumulate ? *to + value : value;
  }
}

/// out[e] = sum over images of part[image, e], e < count. A block takes 32 elements: its warp r
/// adds images r, r + 8, ..., then the warps' sums are added in order. Zeros where the operation
/// does not run.
__global__ void __launch_bounds__(threads)
    sum_images_kernel(int n, std::int64_t count, const float* part, float* out,
                      const double* gate) {
  constexpr int warps = threads / warp_lanes;
  float* sums = static_cast<float*>(shared_memory());  // [warps, 32]
  const int lane = static_cast<int>(threadIdx.x % warp_lanes),
            warp = static_cast<int>(threadIdx.x / warp_lanes);
  const std::int64_t e = std::int64_t{blockIdx.x} * warp_lanes + lane;
  float sum = 0.0f;
  if (!gate_open(gate)) {
    if (warp == 0 && e < count) out[e] = 0.0f;
    return;
  }
  if (e < count)
    for (std::int64_t i = warp; i < n; i += warps) sum += part[i * count + e];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || e >= count) return;
  for (int r = 1; r < warps; ++r) sum += sums[r * static_cast<int>(warp_lanes) + lane];
  out[e] = sum;
}

/// Elements of an image that the products read.
std::int64_t read_elements(const Conv1x1Planes& p) {
  return std::int64_t{p.c_in} * p.out_h() * p.out_w();
}

/// For dispatch_vectors: images lie `strides`, all or-ed together, apart.
int step_of_images(std::int64_t strides) { return 4 + static_cast<int>(strides % 4); }

bool any_output(const Conv1x1Planes& p, int offset) {
  return std::count(p.offset, p.offset + p.outputs, offset) > 0;
}

/// The images as the products of each offset read them: x itself, or copies in `memory`
/// [offsets, n, c_in, out_h, out_w].
struct ReadPixels {
  ConstPlanes of[2];

  /// Of those offsets that are wanted.
  ReadPixels(const Conv1x1Planes& p, const ConstPlanes& x, const bool (&wanted)[2], float* memory,
             const double* gate, Stream stream) {
    const std::int64_t count = read_elements(p);
    if (!wanted[0] && !wanted[1]) return;
    if (p.stride == 2) {
      const int first = wanted[0] ? 0 : 1, offsets = wanted[0] && wanted[1] ? 2 : 1;
      launch("pointwise planes: sample", sample_kernel, over_images(p.n, offsets * count), stream,
             p, first, offsets, x, memory, gate);
      for (int k = 0; k < offsets; ++k) of[first + k] = {memory + k * p.n * count, count};
      return;
    }
    of[0] = p.relu ? ConstPlanes{memory, count} : x;
    if (!p.relu) return;
    const auto rectify = [&]<int V>() {
      launch("pointwise planes: relu", rectify_kernel<V>, over_images(p.n, count / V), stream, p.n,
             count, x, memory);
    };
    dispatch_vectors(step_of_images(count | x.stride), rectify, x.data, memory);
  }
};

/// out (+)= W_o^T dy_o image by image for the outputs of an offset; out [c_in, pixels] an image.
void multiply_transposed(const Conv1x1Backward& b, int offset, bool accumulate, const Planes& out,
                         Stream stream) {
  const Conv1x1Planes& p = b.shape;
  const int pixels = p.out_h() * p.out_w();
  for (int o = 0; o < p.outputs; ++o) {
    if (p.offset[o] != offset) continue;
    batched_product("pointwise planes: dx",
                    {.batch = p.n,
                     .rows = p.c_in,
                     .columns = pixels,
                     .depth = p.c_out[o],
                     .left = {b.weight[o], p.c_in, 0, true},
                     .right = {b.dy[o].data, pixels, b.dy[o].stride},
                     .out = out.data,
                     .out_stride = out.stride,
                     .accumulate = accumulate},
                    stream);
    accumulate = true;
  }
}

void backward_data(const Conv1x1Backward& b, float* memory, Stream stream) {
  const Conv1x1Planes& p = b.shape;
  const std::int64_t count = read_elements(p);
  if (p.stride == 2) {
    SampledGradients gradients{};
    for (int offset = 0; offset < 2; ++offset) {
      if (!any_output(p, offset)) continue;
      const Planes to{memory + offset * p.n * count, count};
      multiply_transposed(b, offset, false, to, stream);
      (offset ? gradients.odd : gradients.even) = to.data;
    }
    launch("pointwise planes: scatter dx", scatter_kernel,
           over_images(p.n, std::int64_t{p.c_in} * p.h * p.w), stream, p, b.x, gradients,
           b.accumulate, b.dx, b.gate);
    return;
  }
  const Planes product = p.relu && b.accumulate ? Planes{memory, count} : b.dx;
  multiply_transposed(b, 0, b.accumulate && !p.relu, product, stream);
  if (!p.relu) return;
  const auto mask = [&]<int V>() {
    launch("pointwise planes: mask dx", mask_kernel<V>, over_images(p.n, count / V), stream, p.n,
           count, b.x, ConstPlanes{product.data, product.stride}, b.accumulate, b.dx);
  };
  dispatch_vectors(step_of_images(count | b.x.stride | b.dx.stride), mask, b.x.data, product.data,
                   b.dx.data);
}

/// Through one [c_out, c_in] product an image in `partial`.
void backward_weight(const Conv1x1Backward& b, float* memory, float* partial, Stream stream) {
  const Conv1x1Planes& p = b.shape;
  const int pixels = p.out_h() * p.out_w();
  bool wanted[2] = {};
  for (int o = 0; o < p.outputs; ++o)
    if (b.dweight[o]) wanted[p.offset[o]] = true;
  const ReadPixels read(p, b.x, wanted, memory, b.gate, stream);
  for (int o = 0; o < p.outputs; ++o) {
    if (!b.dweight[o]) continue;
    const ConstPlanes u = read.of[p.offset[o]];
    const std::int64_t count = std::int64_t{p.c_out[o]} * p.c_in;
    batched_product("pointwise planes: dweight",
                    {.batch = p.n,
                     .rows = p.c_out[o],
                     .columns = p.c_in,
                     .depth = pixels,
                     .left = {b.dy[o].data, pixels, b.dy[o].stride},
                     .right = {u.data, pixels, u.stride, true},
                     .out = partial,
                     .out_stride = count},
                    stream);
    launch("pointwise planes: sum dweight", sum_images_kernel,
           {blocks_for(count, warp_lanes), threads, threads * sizeof(float)}, stream, p.n, count,
           partial, b.dweight[o], b.gate);
  }
}

/// Pixels as read (or gradients of all that were sampled), and one output's dweight image by image.
struct Scratch {
  float *pixels, *partial;
  std::size_t bytes;

  Scratch(const Conv1x1Planes& p, bool backward, void* workspace) {
    Carver carver(workspace);
    const bool copied = p.relu || p.stride == 2;
    pixels = carver.take<float>(copied ? p.n * read_elements(p) * p.stride : 0);
    const int most = *std::max_element(p.c_out, p.c_out + p.outputs);
    partial = carver.take<float>(backward ? std::int64_t{p.n} * most * p.c_in : 0);
    bytes = carver.bytes();
  }
};

}  // namespace

template <>
std::size_t conv1x1_forward_workspace<Device::cuda>(const Conv1x1Planes& p) {
  return Scratch(p, false, nullptr).bytes;
}

template <>
void conv1x1_forward<Device::cuda>(const Conv1x1Forward& f, void* workspace, Stream stream) {
  const Conv1x1Planes& p = f.shape;
  const Scratch scratch(p, false, workspace);
  const int pixels = p.out_h() * p.out_w();
  const ReadPixels read(p, f.x, {any_output(p, 0), any_output(p, 1)}, scratch.pixels, f.gate,
                        stream);
  for (int o = 0; o < p.outputs; ++o) {
    const ConstPlanes u = read.of[p.offset[o]];
    batched_product("pointwise planes: forward",
                    {.batch = p.n,
                     .rows = p.c_out[o],
                     .columns = pixels,
                     .depth = p.c_in,
                     .left = {f.weight[o], p.c_in, 0},
                     .right = {u.data, pixels, u.stride},
                     .out = f.y[o].data,
                     .out_stride = f.y[o].stride},
                    stream);
  }
}

template <>
std::size_t conv1x1_backward_workspace<Device::cuda>(const Conv1x1Planes& p) {
  return Scratch(p, true, nullptr).bytes;
}

template <>
void conv1x1_backward<Device::cuda>(const Conv1x1Backward& b, void* workspace, Stream stream) {
  const Scratch scratch(b.shape, true, workspace);
  if (b.dx.data) backward_data(b, scratch.pixels, stream);
  backward_weight(b, scratch.pixels, scratch.partial, stream);
}

}  // namespace drnas::kernels
