// SPDX-License-Identifier: MIT
// One thread a pixel and vector of channels, of the output in forward, of the input in backward,
// where it gathers from the windows that see it. Blocks (x: pixels and channels of an image, y:
// images).
#include "kernels/layers/pool2d.h"

#include <cmath>

#include "kernels/core/cuda_tiles.h"

namespace drnas::kernels {
namespace {

constexpr int threads = 256;
constexpr int batch = 4;            // pixels that a thread of the global average's gradient writes
constexpr int most_images = 65535;  // the grid's second extent; threads take every gridDim.y-th
constexpr int average_channels = 32;  // in a tile of the global average

/// The parameters with the output's extents.
struct Pool : Pool2d {
  int out_rows, out_columns;

  explicit Pool(const Pool2d& p) : Pool2d(p), out_rows(p.out_h()), out_columns(p.out_w()) {}
};

/// Kernel size and stride: the template's where not zero, so that loops unroll, else the
/// parameters'.
template <int K, int S>
struct Window {
  __device__ static int kernel(const Pool& p) { return K ? K : p.kernel; }
  __device__ static int stride(const Pool& p) { return S ? S : p.stride; }
  /// Upper bound of the windows that see a pixel, along one axis.
  __device__ static int most(const Pool& p) {
    return K ? (K + S - 1) / (S ? S : 1) : (p.kernel + p.stride - 1) / p.stride;
  }
  /// First pixel inside the image that output i sees, and the end.
  __device__ static int begin(const Pool& p, int i) {
    const int at = i * stride(p) - p.padding;
    return at > 0 ? at : 0;
  }
  __device__ static int end(const Pool& p, int i, int size) {
    const int at = i * stride(p) - p.padding + kernel(p);
    return at < size ? at : size;
  }
  /// First output that sees pixel u, and the end of those.
  __device__ static int first_output(const Pool& p, int u) {
    const int past = u + p.padding - kernel(p);  // the last output before starts here or earlier
    return past < 0 ? 0 : past / stride(p) + 1;
  }
  __device__ static int end_output(const Pool& p, int u, int outputs) {
    const int end = (u + p.padding) / stride(p) + 1;
    return end < outputs ? end : outputs;
  }
  /// 1 / count for count pixels along one axis; 0 pixels have no use for it.
  __device__ static float share(int count) {
    if (K == 3) return count == 3 ? 1.0f / 3 : count == 2 ? 0.5f : 1.0f;
    return 1.0f / static_cast<float>(count > 1 ? count : 1);
  }
};

/// Row, column and first channel of this thread's item of an image.
struct Item {
  int row, column, channel;
  bool inside;

  __device__ Item(int rows, int columns, int groups, int width) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned pixel = item / static_cast<unsigned>(groups);
    channel = static_cast<int>(item - pixel * static_cast<unsigned>(groups)) * width;
    row = static_cast<int>(pixel / static_cast<unsigned>(columns));
    column = static_cast<int>(pixel) - row * columns;
    inside = row < rows;
  }
};

__device__ inline std::int64_t offset(int row, int column, int columns, int channels) {
  return (std::int64_t{row} * columns + column) * channels;
}

/// Mean of the window's pixels.
template <class W, class T, int V>
__device__ inline void window_mean(const Pool& p, const T* x, int i, int j, float (&out)[V]) {
  const int top = W::begin(p, i), bottom = W::end(p, i, p.h);
  const int left = W::begin(p, j), right = W::end(p, j, p.w);
  for (int v = 0; v < V; ++v) out[v] = 0.0f;
  for (int a = 0; a < W::kernel(p); ++a)
    for (int b = 0; b < W::kernel(p); ++b) {
      if (top + a >= bottom || left + b >= right) continue;
      float in[V];
      load_vector(x + offset(top + a, left + b, p.w, p.c), in);
      for (int v = 0; v < V; ++v) out[v] += in[v];
    }
  const float scale = W::share(bottom - top) * W::share(right - left);
  for (int v = 0; v < V; ++v) out[v] *= scale;
}

/// Largest value of the window and where: a * kernel + b from the first pixel inside the image on,
/// the first of equal ones in row-major order.
template <class W, class T, int V>
__device__ inline void window_maximum(const Pool& p, const T* x, int i, int j, float (&out)[V],
                                      int (&at)[V]) {
  const int top = W::begin(p, i), bottom = W::end(p, i, p.h);
  const int left = W::begin(p, j), right = W::end(p, j, p.w);
  float largest[V];
  for (int v = 0; v < V; ++v) {
    largest[v] = -INFINITY;
    out[v] = -INFINITY;
    at[v] = 0;
  }
  for (int a = 0; a < W::kernel(p); ++a)
    for (int b = 0; b < W::kernel(p); ++b) {
      if (top + a >= bottom || left + b >= right) continue;
      float in[V];
      load_vector(x + offset(top + a, left + b, p.w, p.c), in);
      for (int v = 0; v < V; ++v) {
        if (a == 0 && b == 0) out[v] = in[v];  // stays where all are NaN or -infinity
        if (in[v] > largest[v]) {
          largest[v] = out[v] = in[v];
          at[v] = a * W::kernel(p) + b;
        }
      }
    }
}

template <class W, bool maximum, class T, int V>
__global__ void __launch_bounds__(threads, 2) forward_kernel(Pool p, const T* x, T* y) {
  const int rows = p.out_rows, columns = p.out_columns;
  const Item item(rows, columns, p.c / V, V);
  if (!item.inside) return;
  for (int n = blockIdx.y; n < p.n; n += gridDim.y) {
    const T* image = x + std::int64_t{n} * p.h * p.w * p.c + item.channel;
    float out[V];
    if constexpr (maximum) {
      int at[V];
      window_maximum<W>(p, image, item.row, item.column, out, at);
    } else {
      window_mean<W>(p, image, item.row, item.column, out);
    }
    store_vector(y + std::int64_t{n} * rows * columns * p.c +
                     offset(item.row, item.column, columns, p.c) + item.channel,
                 out);
  }
}

/// Adds to dx[row, column] the shares of dy of all windows that see it.
template <class W, class T, int V>
__device__ inline void gather_mean(const Pool& p, const Item& item, const T* dy, float (&dx)[V]) {
  const int top = W::first_output(p, item.row), bottom = W::end_output(p, item.row, p.out_rows);
  const int left = W::first_output(p, item.column);
  const int right = W::end_output(p, item.column, p.out_columns);
  for (int a = 0; a < W::most(p); ++a) {
    const int i = top + a;
    if (i >= bottom) continue;
    float sum[V] = {};
    for (int b = 0; b < W::most(p); ++b) {
      const int j = left + b;
      if (j >= right) continue;
      const float share = W::share(W::end(p, j, p.w) - W::begin(p, j));
      float d[V];
      load_vector(dy + offset(i, j, p.out_columns, p.c), d);
      for (int v = 0; v < V; ++v) sum[v] = fmaf(share, d[v], sum[v]);
    }
    const float share = W::share(W::end(p, i, p.h) - W::begin(p, i));
    for (int v = 0; v < V; ++v) dx[v] = fmaf(share, sum[v], dx[v]);
  }
}

/// Adds to dx[row, column] dy of all windows whose maximum it is.
template <class W, class T, int V>
__device__ inline void gather_maximum(const Pool& p, const Item& item, const T* x, const T* dy,
                                      float (&dx)[V]) {
  const int bottom = W::end_output(p, item.row, p.out_rows);
  const int right = W::end_output(p, item.column, p.out_columns);
  for (int i = W::first_output(p, item.row); i < bottom; ++i)
    for (int j = W::first_output(p, item.column); j < right; ++j) {
      float largest[V], d[V];
      int at[V];
      window_maximum<W>(p, x, i, j, largest, at);
      load_vector(dy + offset(i, j, p.out_columns, p.c), d);
      const int here = (item.row - W::begin(p, i)) * W::kernel(p) + item.column - W::begin(p, j);
      for (int v = 0; v < V; ++v)
        if (at[v] == here) dx[v] += d[v];
    }
}

template <class W, bool maximum, class T, int V>
__global__ void __launch_bounds__(threads, 2)
    backward_kernel(Pool p, const T* x, const T* dy, T* dx, bool accumulate) {
  const Item item(p.h, p.w, p.c / V, V);
  if (!item.inside) return;
  for (int n = blockIdx.y; n < p.n; n += gridDim.y) {
    const std::int64_t image = std::int64_t{n} * p.h * p.w * p.c + item.channel;
    const T* from = dy + std::int64_t{n} * p.out_rows * p.out_columns * p.c + item.channel;
    T* to = dx + image + offset(item.row, item.column, p.w, p.c);
    float sum[V] = {};
    if (accumulate) load_vector(to, sum);
    if constexpr (maximum)
      gather_maximum<W>(p, item, x + image, from, sum);
    else
      gather_mean<W>(p, item, from, sum);
    store_vector(to, sum);
  }
}

/// Calls body.template operator()<W, maximum>() with the Window for these parameters.
template <class Body>
void dispatch_window(const Pool2d& p, const Body& body) {
  const auto with = [&]<class W>() {
    p.max ? body.template operator()<W, true>() : body.template operator()<W, false>();
  };
  if (p.kernel == 3 && p.stride == 1) return with.template operator()<Window<3, 1>>();
  if (p.kernel == 3 && p.stride == 2) return with.template operator()<Window<3, 2>>();
  with.template operator()<Window<0, 0>>();
}

/// One thread an item of an image, grid rows for images.
LaunchShape item_shape(std::int64_t items, int images) {
  if (items > INT32_MAX) throw Error("pool2d: an image of more than 2^31 values");
  return {blocks_for(items, threads), threads, 0,
          static_cast<unsigned>(std::min(images, most_images))};
}

/// One block an image and tile of channels: sums in every thread, then over rows of threads.
template <class T, int V>
__global__ void __launch_bounds__(threads, 2)
    global_average_kernel(ChannelTiles tiles, std::int64_t pixels, int c, const T* x, float* y) {
  const TilePlace place(tiles);
  float sum[1][V] = {};
  const std::int64_t stride = std::int64_t{tiles.rows} * c;
  const T* from = x + (blockIdx.x * pixels + place.row) * c + place.group * V;
  if (place.active)
    for (std::int64_t q = place.row; q < pixels; q += tiles.rows, from += stride) {
      float in[V];
      load_vector(from, in);
      for (int v = 0; v < V; ++v) sum[0][v] += in[v];
    }
  reduce_rows(tiles, place, sum, 0.0f, AddRows());
  if (!place.active || place.row != 0) return;
  const float scale = 1.0f / static_cast<float>(pixels);
  for (int v = 0; v < V; ++v) sum[0][v] *= scale;
  store_vector(y + std::int64_t{blockIdx.x} * c + place.group * V, sum[0]);
}

/// dx[n, q] (+)= dy[n] / pixels; blockIdx.x counts images and, within each, runs of pixels.
template <class T, int V>
__global__ void __launch_bounds__(threads, 2)
    global_average_gradient_kernel(ChannelTiles tiles, unsigned runs, std::int64_t pixels, int c,
                                   const float* dy, T* dx, bool accumulate) {
  const TilePlace place(tiles);
  if (!place.active) return;
  const unsigned n = blockIdx.x / runs, run = blockIdx.x - n * runs;
  const float scale = 1.0f / static_cast<float>(pixels);
  float share[V];
  load_vector(dy + std::int64_t{n} * c + place.group * V, share);
  for (int v = 0; v < V; ++v) share[v] *= scale;
  const std::int64_t first = std::int64_t{run} * tiles.rows * batch + place.row;
  T* to = dx + (n * pixels + first) * c + place.group * V;
  for (int k = 0; k < batch; ++k, to += std::int64_t{tiles.rows} * c) {
    if (first + k * tiles.rows >= pixels) return;
    float out[V] = {};
    if (accumulate) load_vector(to, out);
    for (int v = 0; v < V; ++v) out[v] += share[v];
    store_vector(to, out);
  }
}

template <class T>
void forward(const Pool2d& p, const T* x, T* y, Stream stream) {
  const auto run = [&]<int V>() {
    dispatch_window(p, [&]<class W, bool maximum>() {
      launch("pool2d_forward", forward_kernel<W, maximum, T, V>,
             item_shape(std::int64_t{p.out_h()} * p.out_w() * (p.c / V), p.n), stream, Pool(p), x,
             y);
    });
  };
  dispatch_vectors(p.c, run, x, y);
}

template <class T>
void backward(const Pool2d& p, const T* x, const T* dy, T* dx, bool accumulate, Stream stream) {
  const auto run = [&]<int V>() {
    dispatch_window(p, [&]<class W, bool maximum>() {
      launch("pool2d_backward", backward_kernel<W, maximum, T, V>,
             item_shape(std::int64_t{p.h} * p.w * (p.c / V), p.n), stream, Pool(p), x, dy, dx,
             accumulate);
    });
  };
  p.max ? dispatch_vectors(p.c, run, x, dy, dx) : dispatch_vectors(p.c, run, dy, dx);
}

template <class T>
void average(int n, std::int64_t pixels, int c, const T* x, float* y, Stream stream) {
  const auto run = [&]<int V>() {
    const ChannelTiles tiles(c / V, average_channels / V, threads);
    const LaunchShape shape{n, threads, reduce_rows_bytes(V, threads),
                            static_cast<unsigned>(tiles.tiles)};
    launch("global_average_forward", global_average_kernel<T, V>, shape, stream, tiles, pixels, c,
           x, y);
  };
  dispatch_vectors(c, run, x, y);
}

template <class T>
void average_gradient(int n, std::int64_t pixels, int c, const float* dy, T* dx, bool accumulate,
                      Stream stream) {
  const auto run = [&]<int V>() {
    const ChannelTiles tiles(c / V, threads / 4, threads);
    const std::int64_t runs = blocks_for(pixels, std::int64_t{tiles.rows} * batch);
    const LaunchShape shape{n * runs, threads, 0, static_cast<unsigned>(tiles.tiles)};
    launch("global_average_backward", global_average_gradient_kernel<T, V>, shape, stream, tiles,
           runs, pixels, c, dy, dx, accumulate);
  };
  dispatch_vectors(c, run, dy, dx);
}

}  // namespace

template <>
void pool2d_forward<Device::cuda>(const Pool2d& p, const float* x, float* y, Stream stream) {
  forward(p, x, y, stream);
}
template <>
void pool2d_forward<Device::cuda>(const Pool2d& p, const bfloat16* x, bfloat16* y, Stream stream) {
  forward(p, x, y, stream);
}

template <>
void pool2d_backward<Device::cuda>(const Pool2d& p, const float* x, const float* dy, float* dx,
                                   bool accumulate, Stream stream) {
  backward(p, x, dy, dx, accumulate, stream);
}
template <>
void pool2d_backward<Device::cuda>(const Pool2d& p, const bfloat16* x, const bfloat16* dy,
                                   bfloat16* dx, bool accumulate, Stream stream) {
  backward(p, x, dy, dx, accumulate, stream);
}

template <>
void global_average_forward<Device::cuda>(int n, std::int64_t pixels, int c, const float* x,
                                          float* y, Stream stream) {
  average(n, pixels, c, x, y, stream);
}
template <>
void global_average_forward<Device::cuda>(int n, std::int64_t pixels, int c, const bfloat16* x,
                                          float* y, Stream stream) {
  average(n, pixels, c, x, y, stream);
}

template <>
void global_average_backward<Device::cuda>(int n, std::int64_t pixels, int c, const float* dy,
                                           float* dx, bool accumulate, Stream stream) {
  average_gradient(n, pixels, c, dy, dx, accumulate, stream);
}
template <>
void global_average_backward<Device::cuda>(int n, std::int64_t pixels, int c, const float* dy,
                                           bfloat16* dx, bool accumulate, Stream stream) {
  average_gradient(n, pixels, c, dy, dx, accumulate, stream);
}

}  // namespace drnas::kernels
