// SPDX-License-Identifier: MIT
// Four kernels: dd (to the workspace) and the 1x1 filters' gradients from dz; the input's gradient
// from dd; the depthwise filters' gradients from dd and the input; what the blocks left is then
// added in order.
#include "kernels/core/carver.h"
#include "kernels/core/warp_reduce.h"
#include "kernels/planes/separable_device.h"

namespace drnas::kernels {
namespace {

constexpr int tile_floats = 4800;  // of shared memory, for dz as for d
constexpr int channels = 6;        // whose dd a thread sums at once
constexpr unsigned finish_threads = 128;
constexpr int max_taps = separable_max_kernel * separable_max_kernel;

/// Blocks of one filter that share the tiles of all images; each leaves one set of partial sums.
int slots_for(const Separable& s, int most, int blocks_beside) {
  const std::int64_t units = std::int64_t{s.n} * PixelTiles(s.out_h(), s.out_w()).count();
  const int wanted = std::max(1, most / blocks_beside);
  return static_cast<int>(std::min<std::int64_t>(units, wanted));
}

struct Backward {
  SeparableBackward p;
  PixelTiles tiles, input_tiles;
  int chunk;  ///< channels of d, and of dz, held at once
  int slots, tap_slots;
  float* dd;         ///< [filters, n, c, out pixels]
  float* pointwise;  ///< [filters, slots, c_out, c]
  float* depthwise;  ///< [filters, tap_slots, c, 49]
  float* sums;       ///< [filters, n, 2, c] of dx and dx (x - mean)
  std::size_t bytes;

  Backward(const SeparableBackward& call, void* memory)
      : p(call), tiles(p.shape.out_h(), p.shape.out_w()), input_tiles(p.shape.h, p.shape.w) {
    const Separable& s = p.shape;
    chunk = tile_floats / (static_cast<int>(tiles.threads) + 1);
    slots = slots_for(s, 1024, s.filters);
    tap_slots = slots_for(s, 2048, s.filters * s.c);
    Carver carve(memory);
    dd = carve.take<float>(std::int64_t{s.filters} * s.n * s.c * tiles.pixels());
    pointwise = carve.take<float>(std::int64_t{s.filters} * slots * s.c_out * s.c);
    depthwise = carve.take<float>(std::int64_t{s.filters} * tap_slots * s.c * max_taps);
    sums = carve.take<float>(std::int64_t{s.filters} * s.n * 2 * s.c);
    bytes = carve.bytes();
  }
  DRNAS_HD float* dd_of(int f, int image) const {
    return dd + (std::int64_t{f} * p.shape.n + image) * p.shape.c * tiles.pixels();
  }
  DRNAS_HD bool wants_dd(int f) const { return wants_input_gradient(p, f) || p.ddepthwise[f]; }
};
static_assert(sizeof(Backward) <= 4000);

/// dz of output channels [first, first + count) at every thread's pixel, to dz[o - first][thread].
__device__ void gradient_tile(const Backward& k, int f, int image, const TilePixel& pixel,
                              int first, int count, float* dz, int pitch) {
  const PlaneGradient& from = k.p.gradient[f];
  const float* g = from.g.data + image * from.g.stride + pixel.offset;
  const float* z =
      from.coefficients ? k.p.z[f].data + image * k.p.z[f].stride + pixel.offset : nullptr;
  const int c_out = k.p.shape.c_out;
  for (int o = first; o < first + count; ++o) {
    float value = 0.0f;
    if (pixel.active) {
      value = g[std::int64_t{o} * from.channel_step * k.tiles.pixels()];
      if (z)
        value =
            from.coefficients[o] * value + (from.coefficients[c_out + o] * z[o * k.tiles.pixels()] +
                                            from.coefficients[2 * c_out + o]);
    }
    dz[(o - first) * pitch + static_cast<int>(threadIdx.x)] = value;
  }
}

/// out[row, column] (+)= the product of two tiles over the block's pixels: a thread an element
/// where there are enough of them, else a warp an element.
__device__ void tile_product(const float* left, int rows, const float* right, int columns,
                             int pitch, float* out, int out_pitch, bool add) {
  const int threads = static_cast<int>(blockDim.x), t = static_cast<int>(threadIdx.x);
  const bool by_warp = rows * columns < threads;
  const int width = by_warp ? static_cast<int>(warp_lanes) : 1, lane = by_warp ? t % width : 0;
  for (int item = t / width; item < rows * columns; item += threads / width) {
    const int row = item / columns, column = item - row * columns;
    float sum = 0.0f;
    for (int k = lane; k < threads; k += width)
      sum += left[row * pitch + k] * right[column * pitch + k];
    if (by_warp) sum = warp_sum(sum);
    float* to = out + std::int64_t{row} * out_pitch + column;
    if (lane == 0) *to = add ? *to + sum : sum;
  }
}

/// dd of channels [first, first + count) at the thread's pixel, over `rows` output channels.
__device__ void transposed_pixel(const float* pointwise, int c, int rows, const float* dz,
                                 int pitch, int count, float* dd, std::int64_t plane, bool add) {
  for (int ch = 0; ch < count; ch += channels) {
    float sum[channels] = {};
    for (int o = 0; o < rows; ++o) {
      const float value = dz[o * pitch];
      for (int v = 0; v < channels; ++v) {
        const int at = ch + v < count ? ch + v : count - 1;
        sum[v] += pointwise[std::int64_t{o} * c + at] * value;
      }
    }
    for (int v = 0; v < channels; ++v)
      if (ch + v < count) dd[(ch + v) * plane] = add ? dd[(ch + v) * plane] + sum[v] : sum[v];
  }
}

/// Blocks (x: slots, y: filters).
__global__ void __launch_bounds__(128, 4) pointwise_kernel(Backward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y), slot = static_cast<int>(blockIdx.x);
  const bool product = k.p.dpointwise[f], wants_dd = k.wants_dd(f);
  if (!product && !wants_dd) return;
  const SeparableFilter filter = k.p.filter[f];
  const int tiles = k.tiles.count(), pitch = static_cast<int>(blockDim.x) + 1;
  float* staging = static_cast<float*>(shared_memory());
  float *d = staging + staging_floats, *dz = d + tile_floats;
  float* partial = k.pointwise + (std::int64_t{f} * k.slots + slot) * s.c_out * s.c;
  for (int unit = slot; unit < s.n * tiles; unit += k.slots) {
    const int image = unit / tiles;
    const TilePixel pixel(k.tiles, unit - image * tiles, static_cast<int>(threadIdx.x));
    for (int ch = 0; ch < s.c; ch += k.chunk) {
      const int count = s.c - ch < k.chunk ? s.c - ch : k.chunk;
      if (product) depthwise_tile(s, filter, k.tiles, pixel, image, ch, count, staging, d, pitch);
      for (int o = 0; o < s.c_out; o += k.chunk) {
        const int rows = s.c_out - o < k.chunk ? s.c_out - o : k.chunk;
        const std::int64_t corner = std::int64_t{o} * s.c + ch;
        gradient_tile(k, f, image, pixel, o, rows, dz, pitch);
        if (wants_dd && pixel.active)
          transposed_pixel(filter.pointwise + corner, s.c, rows, dz + threadIdx.x, pitch, count,
                           k.dd_of(f, image) + ch * k.tiles.pixels() + pixel.offset,
                           k.tiles.pixels(), o > 0);
        __syncthreads();
        if (product) tile_product(dz, rows, d, count, pitch, partial + corner, s.c, unit != slot);
        __syncthreads();
      }
    }
  }
}

/// du of one input pixel; `window` holds dd from (row, column) on.
template <int K>
__device__ float input_pixel(const float* window, int columns, int row, int column, int dilation,
                             int stride, const float* weight) {
  float sum = 0.0f;
  for (int a = 0; a < K; ++a)
    for (int b = 0; b < K; ++b) {
      const int y = row - a * dilation, x = column - b * dilation;
      if (stride == 2 && ((y | x) & 1)) continue;
      sum += weight[a * K + b] * window[(y / stride) * columns + x / stride];
    }
  return sum;
}

/// Sum over the run's filters of du at the thread's pixel of a tile of the input.
__device__ float input_tile(const Backward& k, int first, int image, int ch, const TilePixel& pixel,
                            float* staging) {
  const Separable& s = k.p.shape;
  float du = 0.0f;
  for (int f = first; f == first || (f < s.filters && continues_run(k.p, f)); ++f) {
    const SeparableFilter filter = k.p.filter[f];
    const int reach = filter.dilation * (filter.kernel - 1), pad = reach / 2, shift = s.stride - 1;
    Window window{(pixel.top + pad - reach) >> shift, (pixel.left + pad - reach) >> shift, 0, 0};
    window.rows = ((pixel.top + k.input_tiles.height - 1 + pad) >> shift) - window.top + 1;
    window.columns = ((pixel.left + k.input_tiles.width - 1 + pad) >> shift) - window.left + 1;
    const float* dd = k.dd_of(f, image) + ch * k.tiles.pixels();
    __syncthreads();
    window.load(s.out_h(), s.out_w(), staging, [dd](std::int64_t at) { return dd[at]; });
    __syncthreads();
    const int row = pixel.top + pixel.i + pad - window.top * s.stride,
              column = pixel.left + pixel.j + pad - window.left * s.stride;
    const float* weight = filter.depthwise + std::int64_t{ch} * filter.kernel * filter.kernel;
    if (!pixel.active) continue;
    const auto add = [&]<int K>() {
      du += input_pixel<K>(staging, window.columns, row, column, filter.dilation, s.stride, weight);
    };
    if (filter.kernel == 3)
      add.template operator()<3>();
    else if (filter.kernel == 5)
      add.template operator()<5>();
    else
      add.template operator()<7>();
  }
  return du;
}

/// Sum over the block; thread 0 gets it. Takes 4 floats of shared memory.
__device__ float block_sum(float value, float* shared) {
  value = warp_sum(value);
  __syncthreads();
  if (threadIdx.x % warp_lanes == 0) shared[threadIdx.x / warp_lanes] = value;
  __syncthreads();
  float sum = 0.0f;
  for (unsigned w = 0; w < blockDim.x / warp_lanes; ++w) sum += shared[w];
  return sum;
}

/// Blocks (x: channels of images, y: filters; the first of each run works).
__global__ void __launch_bounds__(128, 5) input_kernel(Backward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y);
  if (continues_run(k.p, f) || !wants_input_gradient(k.p, f)) return;
  const int image = static_cast<int>(blockIdx.x) / s.c,
            ch = static_cast<int>(blockIdx.x) - image * s.c;
  float* staging = static_cast<float*>(shared_memory());
  const SeparableInput& in = k.p.filter[f].in;
  const DeviceInput u(s, in, image, ch);
  const float centre = in.mean ? in.mean[ch] : 0.0f;
  float* dx = k.p.dx[f].data;
  if (dx) dx += image * k.p.dx[f].stride + std::int64_t{ch} * s.h * s.w;
  float sum = 0.0f, product = 0.0f;
  for (int tile = 0; tile < k.input_tiles.count(); ++tile) {
    const TilePixel pixel(k.input_tiles, tile, static_cast<int>(threadIdx.x));
    const float du = input_tile(k, f, image, ch, pixel, staging);
    if (!pixel.active) continue;
    float value = u(pixel.offset) > 0.0f ? du : 0.0f;
    if (dx) {
      if (k.p.accumulate) value += dx[pixel.offset];
      dx[pixel.offset] = value;
    }
    sum += value;
    product += value * (u.x[pixel.offset] - centre);
  }
  sum = block_sum(sum, staging);
  product = block_sum(product, staging);
  if (threadIdx.x > 0) return;
  float* out = k.sums + (std::int64_t{f} * s.n + image) * 2 * s.c + ch;
  out[0] = sum;
  out[s.c] = product;
}

/// The taps' sums over the units of one slot, to partial[K*K].
template <int K>
__device__ void tap_sums(const Backward& k, int f, int slot, int ch, float* staging,
                         float* partial) {
  const Separable& s = k.p.shape;
  const SeparableFilter filter = k.p.filter[f];
  const int tiles = k.tiles.count();
  float sum[K * K] = {};
  for (int unit = slot; unit < s.n * tiles; unit += k.tap_slots) {
    const int image = unit / tiles;
    const TilePixel pixel(k.tiles, unit - image * tiles, static_cast<int>(threadIdx.x));
    const Window window = Window::of_outputs(s, filter, k.tiles, pixel);
    __syncthreads();
    window.load(s.h, s.w, staging, DeviceInput(s, filter.in, image, ch));
    __syncthreads();
    if (!pixel.active) continue;
    const float dd = k.dd_of(f, image)[ch * k.tiles.pixels() + pixel.offset];
    const float* own = staging + (pixel.i * window.columns + pixel.j) * s.stride;
    for (int a = 0; a < K; ++a)
      for (int b = 0; b < K; ++b)
        sum[a * K + b] += dd * own[(a * window.columns + b) * filter.dilation];
  }
#ifdef __CUDACC__
#pragma unroll
#endif
  for (int tap = 0; tap < K * K; ++tap) {
    const float total = block_sum(sum[tap], staging);
    if (threadIdx.x == 0) partial[tap] = total;
  }
}

/// Blocks (x: channels of slots, y: filters).
__global__ void __launch_bounds__(128, 4) taps_kernel(Backward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y);
  if (!k.p.ddepthwise[f]) return;
  const int slot = static_cast<int>(blockIdx.x) / s.c,
            ch = static_cast<int>(blockIdx.x) - slot * s.c;
  float* staging = static_cast<float*>(shared_memory());
  float* partial = k.depthwise + ((std::int64_t{f} * k.tap_slots + slot) * s.c + ch) * max_taps;
  const int kernel = k.p.filter[f].kernel;
  if (kernel == 3) return tap_sums<3>(k, f, slot, ch, staging, partial);
  if (kernel == 5) return tap_sums<5>(k, f, slot, ch, staging, partial);
  tap_sums<7>(k, f, slot, ch, staging, partial);
}

/// Gradients of gamma and beta and the input's coefficients, of one channel.
__device__ void finish_input(const Backward& k, int f, int ch) {
  const Separable& s = k.p.shape;
  const SeparableInput& in = k.p.filter[f].in;
  int first = f;
  while (continues_run(k.p, first)) --first;
  double sum = 0, product = 0;
  for (int image = 0; image < s.n; ++image) {
    const float* from = k.sums + (std::int64_t{first} * s.n + image) * 2 * s.c + ch;
    sum += from[0];
    product += from[s.c];
  }
  const double inv_std = in.mean ? in.inv_std[ch] : 1.0, hat = product * inv_std;
  if (k.p.dgamma[f]) k.p.dgamma[f][ch] = static_cast<float>(hat);
  if (k.p.dbeta[f]) k.p.dbeta[f][ch] = static_cast<float>(sum);
  float* out = k.p.input_coefficients[f];
  if (!out) return;
  const double count = static_cast<double>(s.n) * s.h * s.w,
               a = (in.gamma ? in.gamma[ch] : 1.0f) * inv_std, b = -a * hat * inv_std / count;
  out[ch] = static_cast<float>(a);
  out[s.c + ch] = static_cast<float>(b);
  out[2 * s.c + ch] = static_cast<float>(-a * sum / count - b * (in.mean ? in.mean[ch] : 0.0f));
}

/// Blocks (x: elements of a filter's gradients, y: filters): weights of the 1x1, taps, channels of
/// the input.
__global__ void __launch_bounds__(finish_threads) finish_kernel(Backward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y);
  std::int64_t i = global_thread();
  const std::int64_t weights = std::int64_t{s.c_out} * s.c,
                     taps = k.p.filter[f].kernel * k.p.filter[f].kernel;
  if (i < weights) {
    if (!k.p.dpointwise[f]) return;
    float sum = 0.0f;
    for (int slot = 0; slot < k.slots; ++slot)
      sum += k.pointwise[(std::int64_t{f} * k.slots + slot) * weights + i];
    k.p.dpointwise[f][i] = sum;
    return;
  }
  i -= weights;
  if (i < s.c * taps) {
    if (!k.p.ddepthwise[f]) return;
    const std::int64_t ch = i / taps, tap = i - ch * taps;
    float sum = 0.0f;
    for (int slot = 0; slot < k.tap_slots; ++slot)
      sum += k.depthwise[((std::int64_t{f} * k.tap_slots + slot) * s.c + ch) * max_taps + tap];
    k.p.ddepthwise[f][i] = sum;
    return;
  }
  i -= s.c * taps;
  if (i < s.c && (k.p.input_coefficients[f] || k.p.dgamma[f] || k.p.dbeta[f]))
    finish_input(k, f, static_cast<int>(i));
}

}  // namespace

template <>
std::size_t separable_backward_workspace<Device::cuda>(const Separable& p) {
  SeparableBackward call{};
  call.shape = p;
  return Backward(call, nullptr).bytes;
}

template <>
void separable_backward<Device::cuda>(const SeparableBackward& p, void* workspace, Stream stream) {
  const Separable& s = p.shape;
  check_separable(p);
  const Backward k(p, workspace);
  bool input = false, taps = false;
  for (int f = 0; f < s.filters; ++f) {
    input = input || wants_input_gradient(p, f);
    taps = taps || p.ddepthwise[f];
  }
  const unsigned filters = static_cast<unsigned>(s.filters), threads = k.tiles.threads;
  constexpr std::size_t staging = sizeof(float) * staging_floats;
  launch("separable_pointwise", pointwise_kernel,
         {k.slots, threads, staging + sizeof(float) * 2 * tile_floats, filters}, stream, k);
  if (input)
    launch("separable_input", input_kernel,
           {std::int64_t{s.n} * s.c, k.input_tiles.threads, staging, filters}, stream, k);
  if (taps)
    launch("separable_taps", taps_kernel,
           {std::int64_t{k.tap_slots} * s.c, threads, staging, filters}, stream, k);
  const std::int64_t elements = std::int64_t{s.c} * (s.c_out + max_taps + 1);
  launch("separable_finish", finish_kernel,
         {blocks_for(elements, finish_threads), finish_threads, 0, filters}, stream, k);
}

}  // namespace drnas::kernels
