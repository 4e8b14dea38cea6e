// SPDX-License-Identifier: MIT
// Sums over windows by tiles: a block loads what the windows of its tile read and the weights of
// its slice, as many channels at a time as fit, and multiplies taps and channels as depth.
#include "kernels/layers/tile_conv.h"

#include "kernels/core/tile_operands.h"
#include "kernels/layers/conv_numbers.h"
#include "kernels/layers/conv_windows.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::Tile;

template <class T>
struct Windows {
  ConvWindows p;
  WindowTiling t;
  const T *in, *w;
  T* out;
  int width;  ///< of loads of `in`, and of weights whose channels lie side by side
};

/// Where a block works: a tile of a phase's pixels.
struct WindowPlace {
  int phase_row, phase_column;
  int image;
  Tile tile;  ///< of the phase
  ConvWindows::Side rows, columns;

  __device__ WindowPlace(const ConvWindows& p, const WindowTiling& t, int index)
      : phase_row(index % (p.phases * p.phases) / p.phases),
        phase_column(index % p.phases),
        image(index / (p.phases * p.phases * t.tiles_of_image())),
        tile(t.planes.grid, p.phase_extent(p.out_h), p.phase_extent(p.out_w),
             index / (p.phases * p.phases)),
        rows(p.side(phase_row)),
        columns(p.side(phase_column)) {}
  __device__ int taps() const { return rows.taps * columns.taps; }
};

/// What the tile's windows read of the channels of a pass.
template <class Numbers, class T>
__device__ void load_windows(const Windows<T>& k, const WindowPlace& at, int first, Bytes16* to) {
  constexpr int E = chunk_channels<Numbers>;
  const ConvWindows& p = k.p;
  const T* from = k.in + std::int64_t{at.image} * p.in_h * p.in_w * p.in_c + first;
  load_planes<Numbers, tile_threads>(
      k.t.planes, {p.in_h, p.in_w}, at.tile, at.rows.begin, at.columns.begin,
      chunks_at<Numbers>(to), [&](int channel) {
        return [&, from = from + channel, count = p.in_c - first - channel](int row, int column,
                                                                            float(&v)[E]) {
          load_chunk(from + (std::int64_t{row} * p.in_w + column) * p.in_c, k.width, count, v);
        };
      });
}

/// The weights of a pass and slice, and where their chunks' depth lies in the planes.
template <class Numbers, int N, class T>
__device__ void load_window_weights(const Windows<T>& k, const WindowPlace& at, int slice,
                                    int first, const WindowMemory& memory) {
  constexpr int E = chunk_channels<Numbers>;
  const ConvWindows& p = k.p;
  const TilePlanes& planes = k.t.planes;
  const int taps = at.taps(), chunks = k.t.chunks_of(taps);
  auto* to = chunks_at<Numbers>(memory.weights);
  for (int item = static_cast<int>(threadIdx.x); item < chunks * 8 * N; item += tile_threads) {
    // Neighbours read neighbours in memory.
    const int column = p.turned ? item % (8 * N) : item / chunks,
              chunk = p.turned ? item / (8 * N) : item % chunks, tap = chunk / planes.planes,
              channel = first + chunk % planes.planes * E, out = slice * 8 * N + column;
    float v[E] = {};
    if (tap < taps && out < p.out_c) {
      const int row = at.rows.filter_first + at.rows.filter_step * (tap / at.columns.taps),
                across = at.columns.filter_first + at.columns.filter_step * (tap % at.columns.taps);
      const T* from = k.w + out * p.weight_out + (row * p.kernel + across) * p.weight_tap +
                      channel * p.weight_in;
      if (!p.turned) {
        load_chunk(from, k.width, p.in_c - channel, v);
      } else {
        for (int i = 0; i < E; ++i)
          if (channel + i < p.in_c) v[i] = static_cast<float>(from[i * p.weight_in]);
      }
    }
    store_operand<Numbers>(to + chunk * k.t.weight_pitch() + column_of<N>(column), v);
  }
  for (int chunk = static_cast<int>(threadIdx.x); chunk < chunks; chunk += tile_threads) {
    const int tap = chunk / planes.planes;
    memory.offsets[chunk] = tap >= taps ? -1
                                        : chunk % planes.planes * planes.plane_pitch +
                                              tap / at.columns.taps * planes.row_pitch +
                                              tap % at.columns.taps;
  }
}

/// Writes a lane's sums.
template <int M, int N, class T>
__device__ void store_windows(const Windows<T>& k, const WindowPlace& at, int slice,
                              const float (&sums)[M][N][4]) {
  constexpr int side = 2, V = 2 * side;  // eights whose channels are neighbours in a lane
  const ConvWindows& p = k.p;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  DRNAS_UNROLL
  for (int of_lane = 0; of_lane < 2 * M; ++of_lane) {
    const int m = of_lane / 2, i = of_lane % 2;
    int down, across;
    if (!find_pixel(k.t.planes.grid, at.tile, first_row<M>() + 8 * of_lane + lane / 4, down,
                    across))
      continue;
    const int row = (at.tile.row + down) * p.phases + at.phase_row,
              column = (at.tile.column + across) * p.phases + at.phase_column;
    if (row >= p.out_h || column >= p.out_w) continue;
    T* to = k.out + ((std::int64_t{at.image} * p.out_h + row) * p.out_w + column) * p.out_c;
    DRNAS_UNROLL
    for (int n = 0; n < N; n += side) {
      const int channel = slice * 8 * N + channel_of<N>(8 * n + lane % 4 * 2);
      Channels<V> out;
      for (int j = 0; j < side; ++j)
        for (int v = 0; v < 2; ++v) out.v[2 * j + v] = sums[m][n + j][2 * i + v];
      if (channel + V <= p.out_c && p.out_c % V == 0) {
        store_channels(to + channel, out);
        continue;
      }
      DRNAS_UNROLL
      for (int v = 0; v < V; ++v)
        if (channel + v < p.out_c) to[channel + v] = static_cast<T>(out.v[v]);
    }
  }
}

/// Grid (tiles of all phases, slices).
template <class Numbers, int M, int N, class T>
__global__ void __launch_bounds__(tile_threads, resident_blocks<Numbers, M, N>)
    windows_kernel(Windows<T> k) {
  const WindowTiling& t = k.t;
  const WindowMemory memory(t, shared_memory());
  const WindowPlace at(k.p, t, static_cast<int>(blockIdx.x));
  const int slice = static_cast<int>(blockIdx.y), lane = static_cast<int>(threadIdx.x) % 32;
  store_zeros<Numbers>(memory.zeros);
  LeftOperand<Numbers, M> a{chunks_at<Numbers>(memory.in), -1, {}};
  for (int m = 0; m < M; ++m)
    for (int i = 0; i < LaneRows<Numbers>::count; ++i) {
      int down, across;
      const int row = first_row<M>() + 16 * m + LaneRows<Numbers>::row(lane, i);
      a.start[m][i] =
          find_pixel(t.planes.grid, at.tile, row, down, across) ? t.planes.start(down, across) : 0;
    }
  const int chunks = t.chunks_of(at.taps());
  float sums[M][N][4] = {};
  for (int pass = 0; pass < t.passes; ++pass) {
    const int first = pass * t.planes.planes * chunk_channels<Numbers>;
    __syncthreads();
    load_windows<Numbers>(k, at, first, memory.in);
    load_window_weights<Numbers, N>(k, at, slice, first, memory);
    __syncthreads();
    if (first_row<M>() >= at.tile.rows * t.planes.grid.columns) continue;
    const auto* b = chunks_at<Numbers>(memory.weights);
    for (int chunk = 0; chunk < chunks; chunk += 2)
      multiply_step(sums, a, memory.offsets + chunk, b + chunk * t.weight_pitch(),
                    t.weight_pitch());
  }
  store_windows(k, at, slice, sums);
}

template <class T>
void run(const char* name, const ConvWindows& p, const T* in, const T* w, T* out, Stream stream) {
  with_numbers<T>([&]<class Numbers>() {
    const WindowTiling t(p, chunk_channels<Numbers>);
    const Windows<T> k{p, t, in, w, out, load_width<Numbers>(p.in_c)};
    const LaunchShape shape{t.tiles(p), tile_threads, t.shared_bytes(),
                            static_cast<unsigned>(t.slices)};
    const auto start = [&]<int M, int N>() {
      launch(name, windows_kernel<Numbers, M, N, T>, shape, stream, k);
    };
    if (t.m == 2)
      t.n == 4 ? start.template operator()<2, 4>() : start.template operator()<2, 2>();
    else
      t.n == 4 ? start.template operator()<1, 4>() : start.template operator()<1, 2>();
  });
}

}  // namespace

template <class T>
void tile_conv_forward(const Conv2d& p, const T* x, const T* w, T* y, Stream stream) {
  run("conv2d_forward", ConvWindows::forward(p), x, w, y, stream);
}

template <class T>
void tile_conv_backward_data(const Conv2d& p, const T* dy, const T* w, T* dx, Stream stream) {
  run("conv2d_backward_data", ConvWindows::backward(p), dy, w, dx, stream);
}

template void tile_conv_forward<float>(const Conv2d&, const float*, const float*, float*, Stream);
template void tile_conv_forward<bfloat16>(const Conv2d&, const bfloat16*, const bfloat16*,
                                          bfloat16*, Stream);
template void tile_conv_backward_data<float>(const Conv2d&, const float*, const float*, float*,
                                             Stream);
template void tile_conv_backward_data<bfloat16>(const Conv2d&, const bfloat16*, const bfloat16*,
                                                bfloat16*, Stream);

}  // namespace drnas::kernels
