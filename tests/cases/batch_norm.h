// SPDX-License-Identifier: MIT
// Calls of kernels/layers/batch_norm.h, with tensors stored as T: float or bfloat16.
#pragma once

#include <cmath>

#include "kernels/layers/batch_norm.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

struct BatchNormCase {
  struct Options {
    bool relu = false, affine = true, running = true, accumulate = false, leaves = true;
  };
  static constexpr float eps = 1e-5f, momentum = 0.1f;
  std::int64_t pixels;
  int channels;
  Options options;
  Doubles x, dy, dx, gamma, beta, running_mean, running_var;  ///< dx: what is there before

  BatchNormCase(Rng& rng, std::int64_t pixels, int channels, const Options& options)
      : pixels(pixels),
        channels(channels),
        options(options),
        x(normals(rng, pixels * channels, 2)),
        dy(normals(rng, pixels * channels)),
        dx(normals(rng, pixels * channels)),
        gamma(normals(rng, channels)),
        beta(normals(rng, channels)),
        running_mean(normals(rng, channels)),
        running_var(normals(rng, channels)) {
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] += 0.5 * static_cast<double>(i % channels % 7);  // a mean to lose digits on
    x = rounded(x);
    for (double& v : running_var) v = static_cast<float>(0.5 + v * v);
  }
  double values() const { return static_cast<double>(pixels) * channels; }

  /// Results: y, mean, inv_std, and running_mean, running_var where moved.
  template <class T = float, Device D>
  Call forward(Buffers<D>& b) const {
    const Placed<T> a = place<T>(b, false);
    return bound<T>(6, 3, [=](kernels::Stream stream) { run_forward<D>(a, stream); });
  }
  /// After a forward pass, which has run.
  template <class T = float, Device D>
  Call backward(Buffers<D>& b) const {
    const Placed<T> a = place<T>(b, true);
    run_forward<D>(a, nullptr);
    return bound<T>(8, 5, [=](kernels::Stream stream) { run_backward<D>(a, stream); });
  }
  /// Forward, backward, and then inference, whose result is `evaluated`, and `with_dy` with dy on
  /// top.
  template <class T = float, Device D>
  Call passes(Buffers<D>& b) const {
    const Placed<T> a = place<T>(b, true);
    T* evaluated = b.template output_images<T>("evaluated", 1, pixels * channels).data;
    T* with_dy = b.template output_images<T>("with_dy", 1, pixels * channels).data;
    return b.call(0, [=](kernels::Stream stream) {
      run_forward<D>(a, stream);
      run_backward<D>(a, stream);
      BatchNorm evaluation = a.p;
      evaluation.running_mean = a.running_mean;
      evaluation.running_var = a.running_var;
      const T* none = nullptr;
      kernels::batch_norm_inference<D>(evaluation, a.x, none, evaluated, a.workspace, stream);
      kernels::batch_norm_inference<D>(evaluation, a.x, a.dy, with_dy, a.workspace, stream);
    });
  }

 private:
  using BatchNorm = kernels::BatchNorm;
  template <class T>
  struct Placed {
    BatchNorm p;
    bool accumulate;
    const T *x, *dy;
    T *y, *dx;
    float *mean, *inv_std, *running_mean, *running_var, *dgamma, *dbeta;
    void* workspace;
  };

  template <class T, Device D>
  Placed<T> place(Buffers<D>& b, bool gradients) const {
    Placed<T> a{};
    a.x = b.template images<T>(1, x).data;
    a.y = b.template output_images<T>("y", 1, pixels * channels).data;
    a.mean = b.output("mean", channels);
    a.inv_std = b.output("inv_std", channels);
    a.running_mean = b.output("running_mean", running_mean);
    a.running_var = b.output("running_var", running_var);
    a.accumulate = options.accumulate;
    a.p = {pixels, channels, options.relu, eps, momentum, nullptr, nullptr, nullptr, nullptr};
    if (options.affine) a.p.gamma = b.input(gamma), a.p.beta = b.input(beta);
    if (options.running) a.p.running_mean = a.running_mean, a.p.running_var = a.running_var;
    a.workspace = b.workspace(kernels::batch_norm_workspace<D>(a.p));
    if (!gradients) return a;
    a.dy = b.template images<T>(1, dy).data;
    a.dx = b.template output_images<T>("dx", 1, dx, options.accumulate).data;
    if (options.leaves) a.dgamma = b.output("dgamma", channels);
    if (options.leaves) a.dbeta = b.output("dbeta", channels);
    return a;
  }
  template <Device D, class T>
  static void run_forward(const Placed<T>& a, kernels::Stream stream) {
    kernels::batch_norm_forward<D>(a.p, a.x, a.y, a.mean, a.inv_std, a.workspace, stream);
  }
  template <Device D, class T>
  static void run_backward(const Placed<T>& a, kernels::Stream stream) {
    kernels::batch_norm_backward<D>(a.p, a.x, a.dy, a.mean, a.inv_std, a.dx, a.accumulate, a.dgamma,
                                    a.dbeta, a.workspace, stream);
  }
  /// FLOPs a value, and tensors read or written: inputs twice, for sums and then for values.
  template <class T>
  Call bound(double flops, double tensors, std::function<void(kernels::Stream)> run) const {
    return {std::move(run), flops * values(), tensors * values() * sizeof(T)};
  }
};

}  // namespace drnas::test
