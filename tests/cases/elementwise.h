// SPDX-License-Identifier: MIT
// Calls of kernels/train/elementwise.h, with arrays stored as T: float or bfloat16.
#pragma once

#include "kernels/train/elementwise.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

/// Outputs lie in the layout of the buffers, inputs are aligned.
struct ElementwiseCase {
  Doubles x, dy, before;

  ElementwiseCase(Rng& rng, std::int64_t count)
      : x(normals(rng, count)), dy(normals(rng, count)), before(normals(rng, count)) {}
  std::int64_t count() const { return static_cast<std::int64_t>(x.size()); }

  template <class T = float, Device D>
  Call relu(Buffers<D>& b) const {
    const T* in = b.template input<T>(x);
    T* y = b.template output_images<T>("y", 1, count()).data;
    return of(b, [=](std::int64_t n, auto stream) { kernels::relu_forward<D>(n, in, y, stream); });
  }
  template <class T = float, Device D>
  Call relu_backward(Buffers<D>& b, bool accumulate) const {
    const T *in = b.template input<T>(x), *d = b.template input<T>(dy);
    T* dx = b.template output_images<T>("dx", 1, before, accumulate).data;
    return of(b, [=](std::int64_t n, auto stream) {
      kernels::relu_backward<D>(n, in, d, dx, accumulate, stream);
    });
  }
  /// dx is dy.
  template <class T = float, Device D>
  Call relu_backward_in_place(Buffers<D>& b) const {
    const T* in = b.template input<T>(x);
    T* d = b.template output_images<T>("dx", 1, dy, true).data;
    return of(b, [=](std::int64_t n, auto stream) {
      kernels::relu_backward<D>(n, in, d, d, false, stream);
    });
  }
  /// y = x + dy; y is dy where `in_place`.
  template <class T = float, Device D>
  Call add(Buffers<D>& b, bool in_place = false) const {
    const T* first = b.template input<T>(x);
    T* y = b.template output_images<T>("y", 1, dy, in_place).data;
    const T* second = in_place ? y : b.template input<T>(dy);
    return of(b,
              [=](std::int64_t n, auto stream) { kernels::add<D>(n, first, second, y, stream); });
  }
  template <Device D>
  Call fill(Buffers<D>& b, float value) const {
    float* y = b.output_images("y", 1, count()).data;
    return of(b, [=](std::int64_t n, auto stream) { kernels::fill<D>(n, value, y, stream); });
  }
  /// CUDA only.
  template <class From, class To, Device D>
  Call cast(Buffers<D>& b) const {
    const From* in = b.template input<From>(x);
    To* y = b.template output_images<To>("y", 1, count()).data;
    return of(b, [=](std::int64_t n, auto stream) { kernels::cast<D>(n, in, y, stream); });
  }

 private:
  template <Device D, class Run>
  Call of(const Buffers<D>& b, const Run& run) const {
    return b.call(static_cast<double>(x.size()),
                  [run, n = count()](kernels::Stream stream) { run(n, stream); });
  }
};

}  // namespace drnas::test
