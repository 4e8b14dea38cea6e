// SPDX-License-Identifier: MIT
// Calls of kernels/planes/separable.h.
#pragma once

#include "kernels/planes/separable.h"
#include "tests/cases/shapes.h"

namespace drnas::test {

/// What a backward pass leaves out or adds to.
struct SeparableWanted {
  bool dx = true, weights = true, accumulate = false;
};

/// Filters by group of shared inputs, and the gradients of their outputs.
struct SeparableCase {
  /// Dense arrays; empty: absent.
  struct Filter {
    int kernel, dilation;
    int input;                           ///< the filter whose input it reads, maybe its own
    Doubles x;                           ///< [n, c, h, w]
    Doubles mean, inv_std, gamma, beta;  ///< [c]
    Doubles depthwise, pointwise;
    int step;                    ///< of planes of g
    Doubles g, z, coefficients;  ///< g [n, c_out*step, pixels]
    bool shares_dx;              ///< with the filter before
    bool normalised() const { return !mean.empty(); }
    int taps() const { return kernel * kernel; }
  };
  enum class Mode { training, no_running, evaluation };
  using Wanted = SeparableWanted;
  static constexpr float eps = 1e-5f, momentum = 0.1f;
  kernels::Separable shape;
  std::vector<Filter> filter;
  Doubles start;  ///< what dx holds before an accumulating call

  SeparableCase(Rng& rng, const kernels::Separable& s, bool own_inputs)
      : shape(s), start(normals(rng, x_count())) {
    for (int f = 0; f < s.filters; ++f) add_filter(rng, f, own_inputs);
  }
  std::int64_t x_count() const { return std::int64_t{shape.n} * shape.c * shape.h * shape.w; }
  std::int64_t z_count() const { return shape.c_out * out_pixels(); }
  /// Of all images.
  std::int64_t out_pixels() const { return std::int64_t{shape.n} * shape.out_h() * shape.out_w(); }
  void set_kernel(Rng& rng, int f, int kernel) {
    filter[f].kernel = kernel;
    filter[f].depthwise = normals(rng, std::int64_t{shape.c} * kernel * kernel);
  }
  /// As on the edges that leave one state: 3x3 and 5x5, dilated or not, of one input.
  void leave_one_state(Rng& rng) {
    for (int i = 0; i < shape.filters; ++i) {
      Filter& f = filter[i];
      set_kernel(rng, i, i % 2 ? 5 : 3);
      f.dilation = 1 + i / 2 % 2;
      f.input = 0;
      f.mean = f.inv_std = f.gamma = f.beta = {};
      f.step = 1;
      f.g = normals(rng, z_count());
      f.coefficients = normals(rng, 3 * shape.c_out);
      f.shares_dx = i > 0;
    }
  }
  /// What the rectifier reads.
  Doubles normalised(const Filter& f) const {
    Doubles u = f.x;
    const std::size_t plane = static_cast<std::size_t>(shape.h) * shape.w;
    for (std::size_t i = 0; i < u.size() && f.normalised(); ++i) {
      const std::size_t ch = i / plane % shape.c;
      u[i] = (f.gamma.empty() ? 1 : f.gamma[ch]) * (f.x[i] - f.mean[ch]) * f.inv_std[ch] +
             (f.beta.empty() ? 0 : f.beta[ch]);
    }
    return u;
  }

  /// Results of filter f: "f z", "f mean", ...
  template <Device D>
  Call forward(Buffers<D>& b, Mode mode = Mode::training) const {
    kernels::SeparableForward p{};
    p.shape = shape;
    place_filters(b, p.filter);
    double flops = 0;
    for (int f = 0; f < shape.filters; ++f) {
      const std::string of = std::to_string(f) + " ";
      p.z[f] = b.output_images(of + "z", shape.n, z_count());
      p.statistics[f] = output_statistics(b, shape.c_out, mode != Mode::no_running, of);
      flops += 2.0 * out_pixels() * shape.c * (filter[f].taps() + shape.c_out);
    }
    p.mode = {mode != Mode::evaluation, eps, momentum};
    void* workspace = b.workspace(kernels::separable_forward_workspace<D>(shape));
    return b.call(flops, [=](kernels::Stream stream) {
      kernels::separable_forward<D>(p, workspace, stream);
    });
  }
  /// Results of filter f: "f dx", "f depthwise", "f pointwise", and of a normalised input "f
  /// coefficients", "f dgamma", "f dbeta". Some filters leave out single ones.
  template <Device D>
  Call backward(Buffers<D>& b, const Wanted& wanted = {}) const {
    kernels::SeparableBackward p{};
    p.shape = shape;
    p.accumulate = wanted.accumulate;
    place_filters(b, p.filter);
    double flops = 0;
    for (int i = 0; i < shape.filters; ++i) {
      const Filter& f = filter[i];
      const std::string of = std::to_string(i) + " ";
      p.gradient[i] = {b.images(shape.n, f.g), f.step, b.input(f.coefficients)};
      if (!f.coefficients.empty()) p.z[i] = b.images(shape.n, f.z);
      if (wanted.weights && i % 5 != 4)
        p.ddepthwise[i] = b.output(of + "depthwise", shape.c * f.taps());
      if (wanted.weights && i % 5 < 3)
        p.dpointwise[i] = b.output(of + "pointwise", shape.c * shape.c_out);
      // The depthwise output is rebuilt.
      flops += 2.0 * out_pixels() * shape.c * (3 * f.taps() + 2 * shape.c_out);
      if (!wanted.dx) continue;
      p.dx[i] =
          f.shares_dx ? p.dx[i - 1] : b.output_images(of + "dx", shape.n, start, wanted.accumulate);
      if (!f.normalised()) continue;
      p.input_coefficients[i] = b.output(of + "coefficients", 3 * shape.c);
      if (i % 4 < 2) p.dgamma[i] = b.output(of + "dgamma", shape.c);
      if (i % 2 == 0) p.dbeta[i] = b.output(of + "dbeta", shape.c);
    }
    void* workspace = b.workspace(kernels::separable_backward_workspace<D>(shape));
    return b.call(flops, [=](kernels::Stream stream) {
      kernels::separable_backward<D>(p, workspace, stream);
    });
  }
  template <Device D>
  void place_filters(Buffers<D>& b, kernels::SeparableFilter* to) const {
    for (int f = 0; f < shape.filters; ++f) {
      const Filter& from = filter[f];
      to[f].kernel = from.kernel;
      to[f].dilation = from.dilation;
      to[f].depthwise = b.input(from.depthwise);
      to[f].pointwise = b.input(from.pointwise);
      if (from.input == f)
        to[f].in = {b.images(shape.n, from.x), b.input(from.mean), b.input(from.inv_std),
                    b.input(from.gamma), b.input(from.beta)};
      else
        to[f].in = to[f - 1].in;
    }
  }

 private:
  void add_filter(Rng& rng, int i, bool own_inputs) {
    const bool shared = i > 0 && !own_inputs && rng() % 3;
    Filter f = shared ? filter.back() : Filter{};
    f.kernel = pick(rng, {3, 5, 7, 3, 5});
    f.dilation = pick(rng, {1, 2});
    if (!shared) {
      f.input = i;
      f.x = normals(rng, x_count());
      for (double& v : f.x)
        if (rng() % 8 == 0) v = 0;
      if (own_inputs || rng() % 3 == 0) normalise(rng, f);
    }
    f.depthwise = normals(rng, shape.c * f.taps());
    f.pointwise = normals(rng, std::int64_t{shape.c} * shape.c_out);
    f.step = pick(rng, {1, 1, 2, 3});
    f.g = normals(rng, z_count() * f.step);
    f.z = normals(rng, z_count());
    f.coefficients = rng() % 4 ? normals(rng, 3 * shape.c_out) : Doubles();
    f.shares_dx = shared && rng() % 4;
    filter.push_back(std::move(f));
  }
  void normalise(Rng& rng, Filter& f) const {
    f.mean = normals(rng, shape.c, 0.3);
    f.inv_std = normals(rng, shape.c);
    for (double& v : f.inv_std) v = static_cast<float>(0.5 + std::abs(v));
    if (rng() % 2) f.gamma = normals(rng, shape.c);
    if (rng() % 2) f.beta = normals(rng, shape.c);
    // The rectifier's sign must not change by rounding.
    const Doubles u = normalised(f);
    for (std::size_t i = 0; i < f.x.size(); ++i)
      if (std::abs(u[i]) < 1e-3) f.x[i] += 0.25;
  }
};

}  // namespace drnas::test
