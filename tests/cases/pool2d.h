// SPDX-License-Identifier: MIT
// Calls of kernels/layers/pool2d.h, with tensors stored as T: float or bfloat16.
#pragma once

#include "kernels/layers/pool2d.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

struct Pool2dCase {
  kernels::Pool2d p;
  Doubles x, dy, before;  ///< before: what dx holds

  Pool2dCase(Rng& rng, const kernels::Pool2d& pool)
      : p(pool),
        x(normals(rng, std::int64_t{p.n} * p.h * p.w * p.c)),
        dy(normals(rng, std::int64_t{p.n} * p.out_h() * p.out_w() * p.c)),
        before(normals(rng, static_cast<std::int64_t>(x.size()))) {}
  double products() const { return static_cast<double>(dy.size()) * p.kernel * p.kernel; }

  template <class T = float, Device D>
  Call forward(Buffers<D>& b) const {
    const T* in = b.template images<T>(1, x).data;
    T* y = b.template output_images<T>("y", 1, static_cast<std::int64_t>(dy.size())).data;
    return b.call(products(), [=, p = p](kernels::Stream stream) {
      kernels::pool2d_forward<D>(p, in, y, stream);
    });
  }
  template <class T = float, Device D>
  Call backward(Buffers<D>& b, bool accumulate) const {
    const T* in = p.max ? b.template images<T>(1, x).data : nullptr;
    const T* d = b.template images<T>(1, dy).data;
    T* dx = b.template output_images<T>("dx", 1, before, accumulate).data;
    return b.call(products(), [=, p = p](kernels::Stream stream) {
      kernels::pool2d_backward<D>(p, in, d, dx, accumulate, stream);
    });
  }
};

struct GlobalAverageCase {
  int n;
  std::int64_t pixels;
  int c;
  Doubles x, dy, before;

  GlobalAverageCase(Rng& rng, int n, std::int64_t pixels, int c)
      : n(n),
        pixels(pixels),
        c(c),
        x(normals(rng, n * pixels * c)),
        dy(normals(rng, std::int64_t{n} * c)),
        before(normals(rng, n * pixels * c)) {}

  template <class T = float, Device D>
  Call forward(Buffers<D>& b) const {
    const T* in = b.template input<T>(x);
    float* y = b.output("y", std::int64_t{n} * c);
    return b.call(static_cast<double>(x.size()),
                  [=, n = n, pixels = pixels, c = c](kernels::Stream stream) {
                    kernels::global_average_forward<D>(n, pixels, c, in, y, stream);
                  });
  }
  template <class T = float, Device D>
  Call backward(Buffers<D>& b, bool accumulate) const {
    const float* d = b.input(dy);
    T* dx = b.template output<T>("dx", before, accumulate);
    return b.call(static_cast<double>(x.size()),
                  [=, n = n, pixels = pixels, c = c](kernels::Stream stream) {
                    kernels::global_average_backward<D>(n, pixels, c, d, dx, accumulate, stream);
                  });
  }
};

}  // namespace drnas::test
