// SPDX-License-Identifier: MIT
#include <vector>

#include "kernels/core/carver.h"
#include "kernels/planes/separable_product.h"

namespace drnas::kernels {
namespace {

/// Floats from plane to plane of du: rows of whole vectors, in blocks of four.
template <int V>
struct GradientPlane {
  std::int64_t pitch, phase_floats;
  int phases;  ///< in each direction
  int rows, columns;

  explicit GradientPlane(const Separable& s)
      : phases(s.stride), rows(s.out_h()), columns(s.out_w()) {
    pitch = round_up(columns, V);
    phase_floats = round_up(rows, 4) * pitch;
  }
  std::int64_t floats() const { return phases * phases * phase_floats; }
};

/// Planes of one thread, and its sums of weight gradients over the images.
struct ThreadScratch {
  float *u, *d, *dz, *dd, *du, *row;
  float *depthwise, *pointwise;  // [filters, c, 7*7], [filters, c_out, c]
};

struct BackwardScratch {
  PaddedPlane plane, dd_plane;
  std::int64_t pixels, stride;  // of local planes
  std::vector<float*> packed;   // transposed pointwise weights
  std::vector<float*> sums;     // [n, 2, c] each: of dx and dx (x - mean) of each image
  int* started;                 // per thread: its weight gradients hold something
  std::vector<ThreadScratch> threads;
  std::size_t bytes;

  BackwardScratch(const Separable& s, void* memory) {
    Carver carve(memory);
    std::int64_t du_floats = 0;
    dispatch_pixels(s.out_w(), [&]<int V>() {
      plane = PaddedPlane::make<V>(s.h, s.w, s.stride);
      dd_plane = PaddedPlane::make<V>(s.out_h(), s.out_w(), 1);
      du_floats = GradientPlane<V>(s).floats();
    });
    pixels = std::int64_t{s.out_h()} * s.out_w();
    stride = local_stride(pixels);
    for (int f = 0; f < s.filters; ++f) {
      packed.push_back(carve.take<float>(std::int64_t{s.c_out} * s.c));
      sums.push_back(carve.take<float>(std::int64_t{s.n} * 2 * s.c));
    }
    threads.resize(thread_count());
    started = carve.take<int>(thread_count());
    for (ThreadScratch& t : threads) {
      t.u = carve.take<float>(s.c * plane.floats());
      t.d = carve.take<float>(s.c * stride + 4 * s.out_w() + 32);
      t.dz = carve.take<float>(s.c_out * stride);
      t.dd = carve.take<float>(dd_plane.floats());
      t.du = carve.take<float>(s.c * du_floats);
      t.row = carve.take<float>(2 * round_up(s.w, 16) + 32);
      t.depthwise = carve.take<float>(std::int64_t{s.filters} * s.c * separable_max_kernel *
                                      separable_max_kernel);
      t.pointwise = carve.take<float>(std::int64_t{s.filters} * s.c_out * s.c);
    }
    bytes = carve.bytes();
  }
};

/// The call, one thread of it.
template <int V>
class Worker {
 public:
  Worker(const SeparableBackward& p, const BackwardScratch& scratch, const ThreadScratch& thread)
      : p_(p), s_(p.shape), scratch_(scratch), t_(thread), du_(s_) {}

  void start() {
    std::fill_n(t_.u, s_.c * scratch_.plane.floats(), 0.0f);
    std::fill_n(t_.dd, scratch_.dd_plane.floats(), 0.0f);
    std::fill_n(t_.depthwise,
                std::int64_t{s_.filters} * s_.c * separable_max_kernel * separable_max_kernel,
                0.0f);
    std::fill_n(t_.pointwise, std::int64_t{s_.filters} * s_.c_out * s_.c, 0.0f);
  }

  /// One image through the filters of a group.
  void run(const SeparableGroup& group, int image) {
    image_ = image;
    const SeparableInput& in = p_.filter[group.first].in;
    x_ = in.x.data + image * in.x.stride;
    u_stride_ = group.size() > 1 ? scratch_.plane.floats() : 0;
    if (u_stride_)
      for (int ch = 0; ch < s_.c; ++ch) fill(in, ch);
    int first = group.first;  // of the run of filters with one dx
    for (int f = group.first; f < group.last; ++f) {
      if (!continues_run(p_, f)) first = f;
      const bool gradient = wants_input_gradient(p_, f);
      if (!gradient && !p_.ddepthwise[f] && !p_.dpointwise[f]) continue;
      differentiate(f);
      if (p_.dpointwise[f]) differentiate_pointwise(f);
      if (gradient || p_.ddepthwise[f]) differentiate_depthwise(f, first, run_end(p_, first));
    }
  }

 private:
  void fill(const SeparableInput& in, int ch) {
    fill_plane<V>(scratch_.plane, in, ch, x_ + std::int64_t{ch} * s_.h * s_.w,
                  t_.u + ch * u_stride_);
  }

  /// dz = A g + B z + C, and zeros up to a whole vector.
  void differentiate(int f) {
    const PlaneGradient& from = p_.gradient[f];
    const std::int64_t pixels = scratch_.pixels;
    for (int o = 0; o < s_.c_out; ++o) {
      const float* __restrict g =
          from.g.data + image_ * from.g.stride + std::int64_t{o} * from.channel_step * pixels;
      float* __restrict dz = t_.dz + o * scratch_.stride;
      if (from.coefficients) {
        const float* __restrict z = p_.z[f].data + image_ * p_.z[f].stride + o * pixels;
        const float a = from.coefficients[o], b = from.coefficients[s_.c_out + o],
                    c = from.coefficients[2 * s_.c_out + o];
        for (std::int64_t i = 0; i < pixels; ++i) dz[i] = a * g[i] + (b * z[i] + c);
      } else {
        std::copy_n(g, pixels, dz);
      }
      store<V>(dz + pixels, Lanes<V>{});
    }
  }

  /// Rebuilds d; its product with dz is added to the thread's gradient of the 1x1 filter.
  void differentiate_pointwise(int f) {
    const SeparableFilter& filter = p_.filter[f];
    const DepthwisePass pass = depthwise_pass<V>(filter.kernel, filter.dilation, s_.stride);
    Depthwise depthwise{t_.u, scratch_.plane.pitch, {},         filter.depthwise, 1,
                        t_.d, s_.out_w(),           s_.out_h(), s_.out_w(),       false};
    place_taps(scratch_.plane, filter.kernel, filter.dilation, separable_pad(filter),
               depthwise.tap);
    for (int ch = 0; ch < s_.c; ++ch) {
      if (!u_stride_) fill(filter.in, ch);
      pass(depthwise);
      store<V>(depthwise.out + scratch_.pixels, Lanes<V>{});
      depthwise.x += u_stride_;
      depthwise.weight += filter.kernel * filter.kernel;
      depthwise.out += scratch_.stride;
    }
    weight_product<V>({s_.c_out, s_.c, t_.dz, t_.d, scratch_.stride, scratch_.stride,
                       scratch_.pixels, t_.pointwise + std::int64_t{f} * s_.c_out * s_.c});
  }

  /// dd of all channels, in the place of d; then the depthwise filter's gradient and du.
  void differentiate_depthwise(int f, int first, int last) {
    const SeparableFilter& filter = p_.filter[f];
    const PlaneProduct product{
        s_.c, s_.c_out,        scratch_.packed[f],          t_.dz, scratch_.stride,
        t_.d, scratch_.stride, round_up(scratch_.pixels, V)};
    for (int row = 0; row < s_.c; row += product_rows)
      product_rows_of<V>(product, row, std::min(product_rows, s_.c - row));
    const int taps = filter.kernel * filter.kernel;
    const TapGradientPass tap_pass =
        tap_gradient_pass<V>(filter.kernel, filter.dilation, s_.stride);
    TapGradient gradient{
        t_.u,
        scratch_.plane.pitch,
        {},
        t_.dd + scratch_.dd_plane.origin,
        scratch_.dd_plane.pitch,
        s_.out_h(),
        s_.out_w(),
        t_.depthwise + std::int64_t{f} * s_.c * separable_max_kernel * separable_max_kernel};
    place_taps(scratch_.plane, filter.kernel, filter.dilation, separable_pad(filter), gradient.tap);
    const bool wants_input = wants_input_gradient(p_, f);
    const std::int64_t du_stride = last - first > 1 ? du_.floats() : 0;
    for (int ch = 0; ch < s_.c; ++ch) {
      if (!u_stride_) fill(filter.in, ch);
      copy_gradient(t_.d + ch * scratch_.stride);
      if (p_.ddepthwise[f]) tap_pass(gradient);
      float* du = t_.du + ch * du_stride;
      if (wants_input) differentiate_input(filter, filter.depthwise + ch * taps, du, f > first);
      if (wants_input && f + 1 == last) write_gradient(first, last, ch, t_.u + ch * u_stride_, du);
      gradient.x += u_stride_;
      gradient.out += taps;
    }
  }

  /// dd of a channel between zeros.
  void copy_gradient(const float* dd) {
    const PaddedPlane& plane = scratch_.dd_plane;
    for (int i = 0; i < plane.rows; ++i) {
      const float* from = dd + std::int64_t{i} * plane.columns;
      float* to = t_.dd + plane.origin + i * plane.pitch;
      for (int j = 0; j < plane.columns; j += V) store<V>(to + j, load<V>(from + j));
      if (plane.columns % V) store<V>(to + plane.columns, Lanes<V>{});
    }
  }

  /// du (+)= the turned filter over dd. With stride 2 each phase of the input meets the taps of its
  /// parity: all of a dilated filter for even rows and columns, none for odd ones.
  void differentiate_input(const SeparableFilter& filter, const float* weight, float* du,
                           bool add) {
    const int k = filter.kernel;
    Depthwise pass{t_.dd,       scratch_.dd_plane.pitch,
                   {},          weight + k * k - 1,
                   -1,          du,
                   du_.pitch,   du_.rows,
                   du_.columns, add};
    if (s_.stride == 1 || filter.dilation == 2) {
      if (s_.stride == 2 && !add)
        std::fill_n(du + du_.phase_floats, du_.floats() - du_.phase_floats, 0.0f);
      const int dilation = s_.stride == 1 ? filter.dilation : 1;
      place_taps(scratch_.dd_plane, k, dilation, dilation * (k - 1) / 2, pass.tap);
      return depthwise_pass<V>(k, dilation, 1)(pass);
    }
    const int pad = separable_pad(filter), half = (k + 1) / 2;
    float part[separable_max_kernel * separable_max_kernel];
    pass.weight = part;
    pass.step = 1;
    for (int phase = 0; phase < 4; ++phase, pass.out += du_.phase_floats) {
      const int a0 = (phase / 2 + pad) % 2, b0 = (phase % 2 + pad) % 2;
      for (int a = 0; a < half; ++a)
        for (int b = 0; b < half; ++b) {
          const int from_a = a0 + 2 * (half - 1 - a), from_b = b0 + 2 * (half - 1 - b);
          part[a * half + b] = from_a < k && from_b < k ? weight[from_a * k + from_b] : 0.0f;
        }
      const int row = (phase / 2 + pad - a0) / 2 - (half - 1),
                column = (phase % 2 + pad - b0) / 2 - (half - 1);
      for (int b = 0; b < half; ++b)
        pass.tap[b] = scratch_.dd_plane.column(column + b) + row * scratch_.dd_plane.pitch;
      half == 2   ? depthwise<V, 2, 1, 1>(pass)
      : half == 3 ? depthwise<V, 3, 1, 1>(pass)
                  : depthwise<V, 4, 1, 1>(pass);
    }
  }

  /// dx (+)= du where u > 0, and its sums where the input is normalised.
  void write_gradient(int first, int last, int ch, const float* u, const float* du) {
    const SeparableInput& in = p_.filter[first].in;
    const std::int64_t plane = std::int64_t{s_.h} * s_.w;
    const Planes& dx = p_.dx[first];
    float* to = dx.data ? dx.data + image_ * dx.stride + ch * plane : nullptr;
    const float* x = x_ + ch * plane;
    const float centre = in.mean ? in.mean[ch] : 0.0f;
    const bool add = to && p_.accumulate;
    bool sums = false;
    for (int f = first; f < last; ++f)
      sums = sums || p_.input_coefficients[f] || p_.dgamma[f] || p_.dbeta[f];
    float total[2] = {};
    for (int i = 0; i < s_.h; ++i) {
      const float *u_row = u + scratch_.plane.origin + i * scratch_.plane.pitch,
                  *du_row = du + i * du_.pitch;
      if (s_.stride == 2) {
        u_row = join(u_row, scratch_.plane.phase_floats, t_.row);
        du_row = join(du + (i % 2) * 2 * du_.phase_floats + i / 2 * du_.pitch, du_.phase_floats,
                      t_.row + round_up(s_.w, 16));
      }
      write_row(u_row, du_row, to ? to + std::int64_t{i} * s_.w : t_.row,
                x + std::int64_t{i} * s_.w, centre, add, sums, total);
    }
    if (!sums) return;
    float* image = scratch_.sums[first] + std::int64_t{image_} * 2 * s_.c;
    image[ch] = total[0];
    image[s_.c + ch] = total[1];
  }

  /// A row whose even and odd columns lie apart.
  const float* join(const float* even, std::int64_t odd, float* row) const {
    for (int j = 0; j < (s_.w + 1) / 2; ++j) {
      row[2 * j] = even[j];
      row[2 * j + 1] = even[odd + j];
    }
    return row;
  }

  void write_row(const float* u, const float* du, float* dx, const float* x, float centre, bool add,
                 bool sums, float (&total)[2]) const {
    const auto masked = [&]<int N>(int j) {
      Lanes<N> value = load<N>(u + j) > 0.0f ? load<N>(du + j) : Lanes<N>{};
      if (add) value += load<N>(dx + j);
      store<N>(dx + j, value);
      return value;
    };
    int j = 0;
    Lanes<V> sum{}, product{};
    for (; j + V <= s_.w; j += V) {
      const Lanes<V> value = masked.template operator()<V>(j);
      if (!sums) continue;
      sum += value;
      product += value * (load<V>(x + j) - centre);
    }
    for (; j < s_.w; ++j) {
      const float value = masked.template operator()<1>(j);
      if (!sums) continue;
      total[0] += value;
      total[1] += value * (x[j] - centre);
    }
    if (!sums) return;
    total[0] += sum_lanes<V>(sum);
    total[1] += sum_lanes<V>(product);
  }

  const SeparableBackward& p_;
  const Separable& s_;
  const BackwardScratch& scratch_;
  const ThreadScratch& t_;
  const GradientPlane<V> du_;
  int image_ = 0;
  const float* x_ = nullptr;
  std::int64_t u_stride_ = 0;
};

/// Sums what the threads left, in order.
void add_threads(const BackwardScratch& scratch, float* ThreadScratch::*part, std::int64_t offset,
                 std::int64_t count, float* out) {
  if (!out) return;
  std::fill_n(out, count, 0.0f);
  for (std::size_t t = 0; t < scratch.threads.size(); ++t) {
    if (!scratch.started[t]) continue;
    const float* from = scratch.threads[t].*part + offset;
    for (std::int64_t i = 0; i < count; ++i) out[i] += from[i];
  }
}

/// Gradients of gamma and beta and the coefficients of a normalised input, from the images' sums.
void finish_input(const SeparableBackward& p, const float* sums, int f) {
  const Separable& s = p.shape;
  const SeparableInput& in = p.filter[f].in;
  const double count = p.count();
  for (int ch = 0; ch < s.c; ++ch) {
    double sum = 0, product = 0;
    for (int i = 0; i < s.n; ++i) {
      sum += sums[std::int64_t{i} * 2 * s.c + ch];
      product += sums[std::int64_t{i} * 2 * s.c + s.c + ch];
    }
    const double inv_std = in.mean ? in.inv_std[ch] : 1.0, hat = product * inv_std;
    if (p.dgamma[f]) p.dgamma[f][ch] = static_cast<float>(hat);
    if (p.dbeta[f]) p.dbeta[f][ch] = static_cast<float>(sum);
    if (!p.input_coefficients[f]) continue;
    const double a = (in.gamma ? in.gamma[ch] : 1.0f) * inv_std, b = -a * hat * inv_std / count;
    p.input_coefficients[f][ch] = static_cast<float>(a);
    p.input_coefficients[f][s.c + ch] = static_cast<float>(b);
    p.input_coefficients[f][2 * s.c + ch] =
        static_cast<float>(-a * sum / count - b * (in.mean ? in.mean[ch] : 0.0f));
  }
}

}  // namespace

template <>
std::size_t separable_backward_workspace<Device::cpu>(const Separable& p) {
  return BackwardScratch(p, nullptr).bytes;
}

template <>
void separable_backward<Device::cpu>(const SeparableBackward& p, void* workspace, Stream) {
  const Separable& s = p.shape;
  check_separable(p);
  const BackwardScratch scratch(s, workspace);
  const SeparableGroups groups(s, p.filter);
  std::fill_n(scratch.started, scratch.threads.size(), 0);
  for (int f = 0; f < s.filters; ++f)
    pack_product(p.filter[f].pointwise, s.c, s.c_out, 1, s.c, scratch.packed[f]);
  dispatch_pixels(s.out_w(), [&]<int V>() {
    parallel_ranges(
        std::int64_t{s.n} * groups.count, [&](int thread, std::int64_t begin, std::int64_t end) {
          if (begin == end) return;
          Worker<V> worker(p, scratch, scratch.threads[thread]);
          worker.start();
          scratch.started[thread] = 1;
          for (std::int64_t unit = begin; unit < end; ++unit)
            worker.run(groups.group[unit % groups.count], static_cast<int>(unit / groups.count));
        });
  });
  int first = 0;
  for (int f = 0; f < s.filters; ++f) {
    if (!continues_run(p, f)) first = f;
    const std::int64_t taps = std::int64_t{s.c} * p.filter[f].kernel * p.filter[f].kernel,
                       weights = std::int64_t{s.c_out} * s.c;
    add_threads(scratch, &ThreadScratch::depthwise,
                std::int64_t{f} * s.c * separable_max_kernel * separable_max_kernel, taps,
                p.ddepthwise[f]);
    add_threads(scratch, &ThreadScratch::pointwise, f * weights, weights, p.dpointwise[f]);
    if (p.input_coefficients[f] || p.dgamma[f] || p.dbeta[f])
      finish_input(p, scratch.sums[first], f);
  }
}

}  // namespace drnas::kernels
