// SPDX-License-Identifier: MIT
// Gradients of one convolution's weights by tiles (weight_product.h): parts, then their sum.
#include "kernels/layers/conv_numbers.h"
#include "kernels/layers/conv_windows.h"
#include "kernels/layers/tile_conv.h"
#include "kernels/layers/weight_product.h"

namespace drnas::kernels {
namespace {

constexpr unsigned sum_threads = 256;

template <class T>
struct Weights {
  WeightShape shape;
  WeightTiling t;
  int in_h, in_w;
  const T *x, *dy;
  int x_width, dy_width;  ///< of loads
  float* parts;
};

template <class Numbers, class T>
__device__ void load_block(const Weights<T>& k, const WeightBlock& block,
                           const pixel_tiles::Tile& tile, const WeightMemory& memory) {
  constexpr int E = chunk_channels<Numbers>;
  const WeightShape& p = k.shape;
  const int image = tile.first_pixel / (p.h * p.w);
  // Chunks of a tensor's channels from `first` on.
  const auto reader = [](const T* from, int columns, int channels, int first, int width) {
    return [=](int at) {
      return [=, from = from + first + at, count = channels - first - at](int row, int column,
                                                                          float(&v)[E]) {
        load_chunk(from + (std::int64_t{row} * columns + column) * channels, width, count, v);
      };
    };
  };
  load_planes<Numbers, WeightTiling::threads>(
      k.t.x, {k.in_h, k.in_w}, tile, -p.padding, -p.padding, chunks_at<Numbers>(memory.x),
      reader(k.x + std::int64_t{image} * k.in_h * k.in_w * p.c, k.in_w, p.c, block.first_channel,
             k.x_width));
  load_planes<Numbers, WeightTiling::threads>(
      k.t.dy, {p.h, p.w}, tile, 0, 0, chunks_at<Numbers>(memory.dy(0)),
      reader(k.dy + std::int64_t{tile.first_pixel} * p.rows[0], p.w, p.rows[0], block.first_row,
             k.dy_width));
}

/// Grid (shares, blocks of a share).
template <class Numbers, class T>
__global__ void __launch_bounds__(WeightTiling::threads, resident_weight_blocks<Numbers>)
    weight_kernel(Weights<T> k) {
  const WeightBlock block(k.shape, k.t, static_cast<int>(blockIdx.y));
  const WeightMemory memory(k.t, shared_memory());
  leave_part<Numbers>(
      k.shape, k.t, block, memory, static_cast<int>(blockIdx.x), k.parts,
      [&](const pixel_tiles::Tile& tile) { load_block<Numbers>(k, block, tile, memory); });
}

__global__ void __launch_bounds__(sum_threads)
    sum_kernel(const float* parts, int shares, std::int64_t weights, float* dw) {
  const std::int64_t at = global_thread();
  if (at < weights) dw[at] = sum_parts(parts + at, shares, weights);
}

WeightShape shape_of(const Conv2d& p) {
  return {p.n, p.out_h(), p.out_w(), p.c_in, p.stride, p.padding, 1, {p.kernel}, {p.c_out}};
}

template <class T>
WeightTiling tiling_of(const Conv2d& p) {
  return with_numbers<T>(
      [&]<class Numbers>() { return WeightTiling(shape_of(p), chunk_channels<Numbers>); });
}

}  // namespace

template <class T>
bool tile_conv_takes(const Conv2d& p, ConvPass pass) {
  if (pass == ConvPass::backward_weight) return tiling_of<T>(p).fits();
  const ConvWindows windows =
      pass == ConvPass::forward ? ConvWindows::forward(p) : ConvWindows::backward(p);
  return with_numbers<T>(
      [&]<class Numbers>() { return WindowTiling(windows, chunk_channels<Numbers>).fits(); });
}

template <class T>
std::size_t tile_conv_workspace(const Conv2d& p, ConvPass pass) {
  const int shares = pass == ConvPass::backward_weight ? tiling_of<T>(p).shares : 1;
  if (shares == 1) return 0;  // the part is the gradient
  return sizeof(float) * static_cast<std::size_t>(shares * p.weight_count());
}

template <class T>
void tile_conv_backward_weight(const Conv2d& p, const T* x, const T* dy, float* dw, void* workspace,
                               Stream stream) {
  const WeightTiling t = tiling_of<T>(p);
  float* parts = t.shares == 1 ? dw : static_cast<float*>(workspace);
  with_numbers<T>([&]<class Numbers>() {
    const Weights<T> k{
        shape_of(p), t, p.h, p.w, x, dy, load_width<Numbers>(p.c_in), load_width<Numbers>(p.c_out),
        parts};
    launch("conv2d_backward_weight", weight_kernel<Numbers, T>, weight_launch(t), stream, k);
  });
  if (t.shares > 1)
    launch("conv2d_backward_weight: sum", sum_kernel,
           {blocks_for(p.weight_count(), sum_threads), sum_threads}, stream, parts, t.shares,
           p.weight_count(), dw);
}

template bool tile_conv_takes<float>(const Conv2d&, ConvPass);
template bool tile_conv_takes<bfloat16>(const Conv2d&, ConvPass);
template std::size_t tile_conv_workspace<float>(const Conv2d&, ConvPass);
template std::size_t tile_conv_workspace<bfloat16>(const Conv2d&, ConvPass);
template void tile_conv_backward_weight<float>(const Conv2d&, const float*, const float*, float*,
                                               void*, Stream);
template void tile_conv_backward_weight<bfloat16>(const Conv2d&, const bfloat16*, const bfloat16*,
                                                  float*, void*, Stream);

}  // namespace drnas::kernels
