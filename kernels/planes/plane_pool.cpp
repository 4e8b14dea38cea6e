// SPDX-License-Identifier: MIT
// Rows of a window are combined first, on whole vectors of a plane's row, then its columns. A plane
// is worked on in strips of a row that fit small buffers.
#include "kernels/planes/plane_pool.h"

#include <limits>
#include <utility>

#include "kernels/planes/plane_loops.h"
#include "kernels/planes/plane_pool_window.h"

namespace drnas::kernels {
namespace {

/// Input columns of a strip, those outside the image included, and room for whole vectors.
constexpr int strip_columns = 512, strip_room = strip_columns + 2 * plane_lanes;
static_assert(strip_columns >= largest_pool_kernel);
/// Outputs whose gradient is added up together.
constexpr int gradient_block = 1024;
constexpr int nowhere = std::numeric_limits<int>::max();

/// Outputs [first, first + count) of a row and the input columns that they see: `width` from
/// `column` on, those in [low, high) of them inside the image.
struct Strip {
  int first, count, column, width, low, high;

  Strip(const PlanePool& p, int first_output, int outputs)
      : first(first_output),
        count(outputs),
        column(first * p.stride - p.padding),
        width((count - 1) * p.stride + p.kernel),
        low(std::max(0, -column)),
        high(std::min(width, p.w - column)) {}
  static int most(const PlanePool& p) { return (strip_columns - p.kernel) / p.stride + 1; }
};

template <class Body>
void each_strip(const PlanePool& p, const Body& body) {
  const int most = Strip::most(p);
  for (int j = 0; j < p.out_w(); j += most) body(Strip(p, j, std::min(most, p.out_w() - j)));
}

using Floats = Lanes<plane_lanes>;
using Ints = decltype(Floats{} > Floats{});
constexpr float least = -std::numeric_limits<float>::infinity();

template <int... I>
Floats even_lanes(const float* from, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(load<plane_lanes>(from), load<plane_lanes>(from + plane_lanes),
                                 (2 * I)...);
}
/// A vector of every stride-th number from `from` on; numbers from the `count`-th on do not matter.
template <class W>
Floats load_columns(const PlanePool& p, const float* from, int count) {
  const int stride = W::stride(p);
  if (stride == 1) return load<plane_lanes>(from);
  if (stride == 2) return even_lanes(from, std::make_integer_sequence<int, plane_lanes>());
  float values[plane_lanes] = {};
  for (int k = 0; k < std::min(count, plane_lanes); ++k)
    std::memcpy(values + k, from + k * stride, sizeof(float));
  return load<plane_lanes>(values);
}

/// Sum, or the larger, where a NaN stays.
template <bool maximum, class T>
T combine(T a, T b) {
  if constexpr (maximum) return ((b > a) | (b != b)) ? b : a;
  return a + b;
}

template <class W, bool maximum>
void pool_strip(const PlanePool& p, const float* x, int i, const Strip& strip, float* out) {
  float columns[strip_room], pooled[strip_room];
  const float outside = maximum ? least : 0.0f;
  const int top = W::begin(p, i), bottom = W::end(p, i, p.h);
  std::fill(columns, columns + strip.low, outside);
  std::fill(columns + strip.high, columns + strip.width + 2 * plane_lanes, outside);
  const float* row = x + std::int64_t{top} * p.w + strip.column;
  std::copy(row + strip.low, row + strip.high, columns + strip.low);
  for (int a = top + 1; a < bottom; ++a) {
    row += p.w;
    each_vector(strip.high - strip.low, [&]<int V>(std::int64_t u) {
      float* to = columns + strip.low + u;
      store<V>(to, combine<maximum>(load<V>(to), load<V>(row + strip.low + u)));
    });
  }
  for (int j = 0; j < strip.count; j += plane_lanes) {
    const float* first = columns + j * W::stride(p);
    Floats value = load_columns<W>(p, first, strip.count - j);
    for (int b = 1; b < W::kernel(p); ++b)
      value = combine<maximum>(value, load_columns<W>(p, first + b, strip.count - j));
    store<plane_lanes>(pooled + j, value);
  }
  if (maximum) {
    std::copy_n(pooled, strip.count, out);
    return;
  }
  const int rows = bottom - top;
#pragma omp simd
  for (int j = 0; j < strip.count; ++j)
    out[j] = pooled[j] / static_cast<float>(rows * W::count(p, strip.first + j, p.w));
}

/// Adds to dx the gradient d of a strip of averages; d is overwritten.
template <class W>
void spread_strip(const PlanePool& p, int i, const Strip& strip, float* d, float* dx) {
  float columns[strip_columns];
  const int top = W::begin(p, i), bottom = W::end(p, i, p.h);
#pragma omp simd
  for (int j = 0; j < strip.count; ++j)
    d[j] /= static_cast<float>((bottom - top) * W::count(p, strip.first + j, p.w));
  std::fill_n(columns, strip.width, 0.0f);
  for (int b = 0; b < W::kernel(p); ++b) {
    const int stride = W::stride(p);
#pragma omp simd
    for (int j = 0; j < strip.count; ++j) columns[b + j * stride] += d[j];
  }
  for (int a = top; a < bottom; ++a) {
    float* __restrict row = dx + std::int64_t{a} * p.w + strip.column;
#pragma omp simd
    for (int u = strip.low; u < strip.high; ++u) row[u] += columns[u];
  }
}

/// Places of the maxima of a strip. A place is an offset in the plane: of equal values, the
/// smallest offset is the first in row-major order. Where there are only NaNs, the window's first
/// pixel.
template <class W>
void find_maxima(const PlanePool& p, const float* x, int i, const Strip& strip, int* best) {
  float columns[strip_room];
  int places[strip_room];
  const int top = W::begin(p, i), bottom = W::end(p, i, p.h);
  std::fill_n(columns, strip.width + 2 * plane_lanes, least);
  std::fill_n(places, strip.width + 2 * plane_lanes, nowhere);
  for (int u = strip.low; u < strip.high; ++u) places[u] = top * p.w + strip.column + u;
  for (int a = top; a < bottom; ++a) {
    const int first = a * p.w + strip.column;
#pragma omp simd
    for (int u = strip.low; u < strip.high; ++u) {
      const float value = x[first + u];
      const bool larger = value > columns[u];
      columns[u] = larger ? value : columns[u];
      places[u] = larger ? first + u : places[u];
    }
  }
  for (int j = 0; j < strip.count + plane_lanes; ++j)
    best[j] = top * p.w + W::begin(p, strip.first + j);
  // Places are moved about as the bits of floats.
  const float* place_bits = reinterpret_cast<const float*>(places);
  float* best_bits = reinterpret_cast<float*>(best);
  for (int j = 0; j < strip.count; j += plane_lanes) {
    const int first = j * W::stride(p), rest = strip.count - j;
    Floats largest = splat<plane_lanes>(least);
    Ints place = (Ints)load<plane_lanes>(best_bits + j);
    for (int b = 0; b < W::kernel(p); ++b) {
      const Floats value = load_columns<W>(p, columns + first + b, rest);
      const Ints at = (Ints)load_columns<W>(p, place_bits + first + b, rest);
      const Ints take = (value > largest) | ((value == largest) & (at < place));
      largest = take ? value : largest;
      place = take ? at : place;
    }
    store<plane_lanes>(best_bits + j, (Floats)place);
  }
}

/// Adds to dx the gradient d of a strip of maxima.
template <class W>
void route_strip(const PlanePool& p, const float* x, int i, const Strip& strip, const float* d,
                 float* dx) {
  int best[strip_room];
  find_maxima<W>(p, x, i, strip, best);
  for (int j = 0; j < strip.count; ++j) dx[best[j]] += d[j];
}

/// The pooled plane's gradient: sum_e (A_e g_e + B_e p + C_e).
WeightedPlanes pooled_gradient(const PlanePoolBackward& b, std::int64_t image, int ch) {
  const PlanePool& p = b.pool;
  const std::int64_t pixels = std::int64_t{p.out_h()} * p.out_w();
  WeightedPlanes sum;
  double slope = 0;
  bool normalised = false;
  for (int e = 0; e < b.edges; ++e) {
    const PlaneGradient& gradient = b.gradient[e];
    const GradientCoefficients by(gradient.coefficients, p.c, ch);
    sum.add(plane_of(gradient.g, pixels, image, std::int64_t{ch} * gradient.channel_step),
            by.slope_g);
    sum.start += by.constant;
    slope += by.slope_z;
    normalised = normalised || gradient.coefficients;
  }
  if (normalised) sum.add(plane_of(b.pooled, pixels, image, ch), slope);
  return sum;
}

template <class W>
void backward_plane(const PlanePoolBackward& b, std::int64_t image, int ch) {
  const PlanePool& p = b.pool;
  const std::int64_t pixels = std::int64_t{p.h} * p.w;
  const int columns = p.out_w(), most = Strip::most(p);
  const auto gradient = pooled_gradient(b, image, ch);
  const float* x = p.max ? plane_of(b.x, pixels, image, ch) : nullptr;
  float* dx = plane_of(b.dx, pixels, image, ch);
  float d[gradient_block];
  const auto one_strip = [&](int i, const Strip& strip, float* from) {
    p.max ? route_strip<W>(p, x, i, strip, from, dx) : spread_strip<W>(p, i, strip, from, dx);
  };
  if (!b.accumulate) std::fill_n(dx, pixels, 0.0f);
  const int rows_at_a_time = columns <= most ? gradient_block / columns : 1;
  for (int i = 0; i < p.out_h(); i += rows_at_a_time) {
    if (columns > most) {
      each_strip(p, [&](const Strip& strip) {
        gradient.write(std::int64_t{i} * columns + strip.first, strip.count, d, false);
        one_strip(i, strip, d);
      });
      continue;
    }
    const int rows = std::min(rows_at_a_time, p.out_h() - i);
    gradient.write(std::int64_t{i} * columns, std::int64_t{rows} * columns, d, false);
    for (int k = 0; k < rows; ++k) one_strip(i + k, Strip(p, 0, columns), d + k * columns);
  }
}

template <class W, bool maximum>
void forward_plane(const PlanePool& p, const float* x, float* y) {
  for (int i = 0; i < p.out_h(); ++i)
    each_strip(p, [&](const Strip& strip) {
      pool_strip<W, maximum>(p, x, i, strip, y + std::int64_t{i} * p.out_w() + strip.first);
    });
}

}  // namespace

template <>
std::size_t plane_pool_workspace<Device::cpu>(const PlanePool& p) {
  return sizeof(PlaneMoments) * static_cast<std::size_t>(p.n) * static_cast<std::size_t>(p.c);
}

template <>
void plane_pool_forward<Device::cpu>(const PlanePool& p, ConstPlanes x, Planes y,
                                     const PlaneStatistics& statistics, const NormMode& mode,
                                     void* workspace, Stream, const SharedGates&) {
  check_pool(p);
  const bool wanted = statistics.mean, measure = wanted && mode.training;
  if (wanted) check_statistics("plane_pool_forward", statistics, mode);
  const std::int64_t pixels = std::int64_t{p.h} * p.w, pooled = std::int64_t{p.out_h()} * p.out_w();
  PlaneMoments* moments = static_cast<PlaneMoments*>(workspace);
  dispatch_window(p, [&]<class W>() {
    each_plane(p.n, p.c, [&](std::int64_t image, int ch) {
      const float* from = plane_of(x, pixels, image, ch);
      float* to = plane_of(y, pooled, image, ch);
      p.max ? forward_plane<W, true>(p, from, to) : forward_plane<W, false>(p, from, to);
      if (measure) moments[image * p.c + ch] = plane_moments_of(to, pooled);
    });
  });
  if (measure) finish_plane_statistics(p.n, p.c, moments, statistics, mode);
  for (int ch = 0; ch < p.c && wanted && !mode.training; ++ch)
    take_running_statistics(statistics, mode, ch);
}

template <>
std::size_t plane_pools_workspace<Device::cpu>(const PlanePool& p) {
  return plane_pool_workspace<Device::cpu>(p);
}

template <>
void plane_pools_forward<Device::cpu>(const PlanePool& p, ConstPlanes x, const Planes (&y)[2],
                                      const PlaneStatistics (&statistics)[2], const NormMode& mode,
                                      void* workspace, Stream stream,
                                      const std::array<SharedGates, 2>&) {
  PlanePool one = p;
  for (const int k : {0, 1}) {
    one.max = k == 0;
    plane_pool_forward<Device::cpu>(one, x, y[k], statistics[k], mode, workspace, stream, {});
  }
}

template <>
void plane_pool_backward<Device::cpu>(const PlanePoolBackward& b, Stream) {
  check_pool(b.pool);
  dispatch_window(b.pool, [&]<class W>() {
    each_plane(b.pool.n, b.pool.c,
               [&](std::int64_t image, int ch) { backward_plane<W>(b, image, ch); });
  });
}

template <>
void plane_pools_backward<Device::cpu>(const PlanePoolBackward& maximum,
                                       const PlanePoolBackward& average, Stream stream) {
  plane_pool_backward<Device::cpu>(maximum, stream);
  plane_pool_backward<Device::cpu>(average, stream);
}

}  // namespace drnas::kernels
