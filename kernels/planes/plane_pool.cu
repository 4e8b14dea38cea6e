// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_pool.h"

#include "kernels/planes/plane_moments_device.h"
#include "kernels/planes/plane_pool_window.h"

namespace drnas::kernels {
namespace {

/// Makes one output pixel of the maximum, the average or both, in this order, stores those that are
/// made (`running`, a bit each) and gives them to the statistics.
template <class W, bool maximum, bool average>
struct PoolPixel {
  static constexpr int results = int{maximum} + int{average};

  PlanePool p;
  ConstPlanes x;
  Planes y[results];
  int out_rows, out_columns;

  __device__ void operator()(int image, int ch, int pixel, unsigned running,
                             float (&value)[results][1]) const {
    const float* from = plane_of(x, std::int64_t{p.h} * p.w, image, ch);
    const int i = pixel / out_columns, j = pixel - i * out_columns;
    const int top = W::begin(p, i), bottom = W::end(p, i, p.h);
    const int left = W::begin(p, j), right = W::end(p, j, p.w);
    float largest = -INFINITY, sum = 0.0f;
    for (int a = 0; a < W::kernel(p); ++a)
      for (int b = 0; b < W::kernel(p); ++b) {
        if (top + a >= bottom || left + b >= right) continue;
        const float in = from[(top + a) * p.w + left + b];
        if (maximum) largest = larger_of(largest, in);
        if (average) sum += in;
      }
    if (average) value[results - 1][0] = sum / static_cast<float>((bottom - top) * (right - left));
    if (maximum) value[0][0] = largest;
    for (int k = 0; k < results; ++k)
      if (running >> k & 1)
        plane_of(y[k], std::int64_t{out_rows} * out_columns, image, ch)[pixel] = value[k][0];
  }
};

/// Tiles of the input gradient, `group` planes a block, and the outputs that see a tile: at most
/// out_rows x out_columns.
struct PoolTiles {
  int rows, columns, across, down;  ///< tile; tiles of a plane
  int out_rows, out_columns;        ///< most outputs of a tile
  int group, planes;
  std::int64_t blocks;

  static constexpr int most_pixels = 1024, most_outputs = 4096;

  explicit PoolTiles(const PlanePool& p)
      : rows(p.h), columns(p.w), planes(static_cast<int>(std::int64_t{p.n} * p.c)) {
    check_count("plane_pool", std::int64_t{p.n} * p.c * p.h * p.w);
    const auto outputs = [&](int size, int all) {
      return std::min(all, (size + p.kernel - 2) / p.stride + 1);
    };
    const auto measure = [&] {
      out_rows = outputs(rows, p.out_h());
      out_columns = outputs(columns, p.out_w());
      return rows * columns > most_pixels || out_rows * out_columns > most_outputs;
    };
    while (measure()) {
      int& longer = rows > 1 && (rows > columns / 8 || columns == 1) ? rows : columns;
      longer = (longer + 1) / 2;
    }
    across = static_cast<int>(blocks_for(p.w, columns));
    down = static_cast<int>(blocks_for(p.h, rows));
    group = across * down > 1 ? 1 : std::clamp(plane_threads / (rows * columns), 1, most_planes);
    group = std::clamp(most_outputs / (out_rows * out_columns), 1, group);
    blocks = blocks_for(planes, group) * across * down;
  }
};

/// A block's part of the planes.
struct PoolTile {
  int first, planes;          ///< planes
  int row, column;            ///< first input pixel
  int rows, columns;          ///< of the input
  int out_row, out_column;    ///< first output
  int out_rows, out_columns;  ///< outputs that see the tile

  template <class W>
  __device__ PoolTile(const PlanePool& p, const PoolTiles& t, W, int height, int width) {
    const int per_plane = t.across * t.down, index = static_cast<int>(blockIdx.x) / per_plane,
              tile = static_cast<int>(blockIdx.x) - index * per_plane, down = tile / t.across;
    first = index * t.group;
    planes = t.planes - first < t.group ? t.planes - first : t.group;
    row = down * t.rows;
    column = (tile - down * t.across) * t.columns;
    rows = p.h - row < t.rows ? p.h - row : t.rows;
    columns = p.w - column < t.columns ? p.w - column : t.columns;
    out_row = W::first_output(p, row);
    out_column = W::first_output(p, column);
    out_rows = W::end_output(p, row + rows - 1, height) - out_row;
    out_columns = W::end_output(p, column + columns - 1, width) - out_column;
  }
};

/// Offset of the first largest value of a window; its first pixel where there are only NaNs.
template <class W>
__device__ inline int first_largest(const PlanePool& p, const float* x, int i, int j) {
  const int top = W::begin(p, i), bottom = W::end(p, i, p.h);
  const int left = W::begin(p, j), right = W::end(p, j, p.w);
  float largest = -INFINITY;
  int place = top * p.w + left;
  for (int a = 0; a < W::kernel(p); ++a)
    for (int b = 0; b < W::kernel(p); ++b) {
      if (top + a >= bottom || left + b >= right) continue;
      const int at = (top + a) * p.w + left + b;
      if (x[at] > largest) {
        largest = x[at];
        place = at;
      }
    }
  return place;
}

/// Of the maximum, the average or both, in this order.
template <int N>
struct PoolGradients {
  struct Result {
    ConstPlanes pooled;
    int edges;
    PlaneGradient gradient[PlanePoolBackward::max_edges];
  };
  PlanePool pool;
  ConstPlanes x;
  Result result[N];
  Planes dx;
  bool accumulate;

  /// Does an edge of result k run?
  __device__ bool runs(int k) const {
    for (int e = 0; e < result[k].edges; ++e)
      if (gate_open(result[k].gradient[e].gate)) return true;
    return false;
  }
  explicit PoolGradients(const PlanePoolBackward& first)
      : pool(first.pool), x(first.x), dx(first.dx), accumulate(first.accumulate) {
    take(0, first);
  }
  void take(int k, const PlanePoolBackward& from) {
    result[k].pooled = from.pooled;
    result[k].edges = from.edges;
    std::copy_n(from.gradient, from.edges, result[k].gradient);
  }
};

/// The pooled pixel's gradient: sum_e (A_e g_e + B_e p + C_e) over the edges that run.
template <class Result>
__device__ inline float pooled_gradient(const Result& b, int c, std::int64_t pixels, int image,
                                        int ch, int pixel) {
  float sum = 0.0f, slope = 0.0f;
  bool normalised = false;
  for (int e = 0; e < b.edges; ++e) {
    const PlaneGradient& gradient = b.gradient[e];
    if (!gate_open(gradient.gate)) continue;
    const GradientCoefficients by(gradient.coefficients, c, ch);
    const float g =
        plane_of(gradient.g, pixels, image, std::int64_t{ch} * gradient.channel_step)[pixel];
    sum += fmaf(by.slope_g, g, by.constant);
    slope += by.slope_z;
    normalised = normalised || gradient.coefficients;
  }
  return normalised ? fmaf(slope, plane_of(b.pooled, pixels, image, ch)[pixel], sum) : sum;
}

/// A block makes the gradient of all outputs that see its tile, then gathers it. It leaves where no
/// edge runs, unless it has to write zeros.
template <class W, bool maximum, bool average>
__global__ void __launch_bounds__(plane_threads, 4)
    backward_kernel(PoolGradients<int{maximum} + int{average}> b, PoolTiles tiles, int height,
                    int width) {
  constexpr int last = int{maximum} + int{average} - 1;
  const PlanePool& p = b.pool;
  const bool first_runs = b.runs(0);
  if (b.accumulate && !first_runs && !(last > 0 && b.runs(last))) return;
  const PoolTile tile(p, tiles, W(), height, width);
  const int outputs = tile.out_rows * tile.out_columns, pixels = tile.rows * tile.columns;
  float* means = static_cast<float*>(shared_memory());                    // [planes, outputs]
  float* largest = means + (average ? tile.planes * outputs : 0);         // the same
  int* places = reinterpret_cast<int*>(largest + tile.planes * outputs);  // the same
  const std::int64_t in_plane = std::int64_t{p.h} * p.w, out_plane = std::int64_t{height} * width;
  for (int item = threadIdx.x; item < tile.planes * outputs; item += plane_threads) {
    const int slot = item / outputs, at = item - slot * outputs, down = at / tile.out_columns;
    const int i = tile.out_row + down, j = tile.out_column + at - down * tile.out_columns;
    const int plane = tile.first + slot, image = plane / p.c, ch = plane - image * p.c;
    const auto gradient = [&](int k) {
      return pooled_gradient(b.result[k], p.c, out_plane, image, ch, i * width + j);
    };
    if (maximum) {
      places[item] =
          first_runs ? first_largest<W>(p, plane_of(b.x, in_plane, image, ch), i, j) : -1;
      largest[item] = gradient(0);
    }
    if (average)
      means[item] = gradient(last) / static_cast<float>(W::count(p, i, p.h) * W::count(p, j, p.w));
  }
  __syncthreads();
  for (int item = threadIdx.x; item < tile.planes * pixels; item += plane_threads) {
    const int slot = item / pixels, at = item - slot * pixels, down = at / tile.columns;
    const int row = tile.row + down, column = tile.column + at - down * tile.columns;
    const int plane = tile.first + slot, image = plane / p.c, ch = plane - image * p.c;
    const int own = row * p.w + column, from = slot * outputs;
    const int bottom = W::end_output(p, row, height), right = W::end_output(p, column, width);
    float of_largest = 0.0f, of_means = 0.0f;
    for (int i = W::first_output(p, row); i < bottom; ++i)
      for (int j = W::first_output(p, column); j < right; ++j) {
        const int k = from + (i - tile.out_row) * tile.out_columns + j - tile.out_column;
        if (maximum && places[k] == own) of_largest += largest[k];
        if (average) of_means += means[k];
      }
    float& to = plane_of(b.dx, in_plane, image, ch)[own];
    float sum = maximum ? of_largest : of_means;
    if (b.accumulate) sum += to;
    to = maximum && average ? sum + of_means : sum;
  }
}

template <class W, bool maximum, bool average>
void forward(const PlanePool& p, ConstPlanes x, const Planes* y, const PlaneStatistics* statistics,
             const NormMode& mode, void* workspace, Stream stream, const SharedGates* gates) {
  using Load = PoolPixel<W, maximum, average>;
  constexpr int held = 4;
  check_count("plane_pool", std::int64_t{p.h} * p.w);
  const bool measure = statistics[0].mean && mode.training;
  MomentsOut<Load::results> out{
      measure ? static_cast<PlaneMoments*>(workspace) : nullptr, {}, mode};
  Load load{p, x, {}, p.out_h(), p.out_w()};
  for (int k = 0; k < Load::results; ++k) {
    if (statistics[k].mean) check_statistics("plane_pool_forward", statistics[k], mode);
    out.statistics[k] = statistics[k];
    out.gates[k] = gates[k];
    load.y[k] = y[k];
  }
  const ChannelPixels pixels(p.n, p.c, std::int64_t{p.out_h()} * p.out_w(), 1, held);
  launch("plane_pool_forward", moments_kernel<1, held, Load::results, Load>,
         pixels.shape(p.c, block_sums_bytes(2 * Load::results)), stream, pixels, load, out);
}

template <class W, bool maximum, bool average>
void backward(const PoolGradients<int{maximum} + int{average}>& b, Stream stream) {
  const PoolTiles tiles(b.pool);
  const std::size_t entry =
      sizeof(float) * (int{maximum} + int{average}) + sizeof(int) * int{maximum};
  const LaunchShape shape{tiles.blocks, plane_threads,
                          entry * tiles.group * tiles.out_rows * tiles.out_columns};
  launch("plane_pool_backward", backward_kernel<W, maximum, average>, shape, stream, b, tiles,
         b.pool.out_h(), b.pool.out_w());
}

/// Calls body.template operator()<W, maximum, average>().
template <class Body>
void dispatch_pool(const PlanePool& p, const Body& body) {
  dispatch_window(p, [&]<class W>() {
    p.max ? body.template operator()<W, true, false>() : body.template operator()<W, false, true>();
  });
}

std::size_t workspace_of(const PlanePool& p, int results) {
  return moments_workspace(p.n, p.c, std::int64_t{p.out_h()} * p.out_w(), results);
}

}  // namespace

static_assert(PoolTiles::most_outputs * (2 * sizeof(float) + sizeof(int)) <= common_shared_bytes,
              "a block's gradients");

template <>
std::size_t plane_pool_workspace<Device::cuda>(const PlanePool& p) {
  return workspace_of(p, 1);
}

template <>
std::size_t plane_pools_workspace<Device::cuda>(const PlanePool& p) {
  return workspace_of(p, 2);
}

template <>
void plane_pool_forward<Device::cuda>(const PlanePool& p, ConstPlanes x, Planes y,
                                      const PlaneStatistics& statistics, const NormMode& mode,
                                      void* workspace, Stream stream, const SharedGates& gates) {
  check_pool(p);
  dispatch_pool(p, [&]<class W, bool maximum, bool average>() {
    forward<W, maximum, average>(p, x, &y, &statistics, mode, workspace, stream, &gates);
  });
}

template <>
void plane_pools_forward<Device::cuda>(const PlanePool& p, ConstPlanes x, const Planes (&y)[2],
                                       const PlaneStatistics (&statistics)[2], const NormMode& mode,
                                       void* workspace, Stream stream,
                                       const std::array<SharedGates, 2>& gates) {
  check_pool(p);
  dispatch_window(p, [&]<class W>() {
    forward<W, true, true>(p, x, y, statistics, mode, workspace, stream, gates.data());
  });
}

template <>
void plane_pool_backward<Device::cuda>(const PlanePoolBackward& b, Stream stream) {
  check_pool(b.pool);
  dispatch_pool(b.pool, [&]<class W, bool maximum, bool average>() {
    backward<W, maximum, average>(PoolGradients<1>(b), stream);
  });
}

template <>
void plane_pools_backward<Device::cuda>(const PlanePoolBackward& maximum,
                                        const PlanePoolBackward& average, Stream stream) {
  check_pool(maximum.pool);
  PoolGradients<2> both(maximum);
  both.take(1, average);
  dispatch_window(maximum.pool, [&]<class W>() { backward<W, true, true>(both, stream); });
}

}  // namespace drnas::kernels
