// SPDX-License-Identifier: MIT
// Calls of kernels/planes/planes.h.
#pragma once

#include "kernels/planes/planes.h"
#include "tests/cases/shapes.h"

namespace drnas::test {

struct PlanesCase {
  PlaneShape s;
  Doubles x, before;  ///< planes
  Doubles means;      ///< [n, c]

  PlanesCase(Rng& rng, const PlaneShape& shape)
      : s(shape),
        x(normals(rng, s.count())),
        before(normals(rng, s.count())),
        means(normals(rng, std::int64_t{s.n} * s.c)) {}

  /// [n, pixels, c] of planes.
  Doubles interleaved(const Doubles& planes) const {
    Doubles out(s.count());
    s.each([&](int image, int ch, std::int64_t i) {
      out[(image * s.pixels + i % s.pixels) * s.c + ch] = planes[i];
    });
    return out;
  }

  /// Planes y of x's pixels.
  template <Device D>
  Call to_planes(Buffers<D>& b) const {
    const float* in = b.input(interleaved(x));
    const auto y = b.output_images("y", s.n, s.count());
    return b.call(0, [=, s = s](kernels::Stream stream) {
      kernels::to_planes<D>(s.n, s.c, s.pixels, in, y, stream);
    });
  }
  /// Pixels y of planes x, or added to `before`.
  template <Device D>
  Call from_planes(Buffers<D>& b, bool accumulate) const {
    const auto in = b.images(s.n, x);
    float* y = b.output("y", before, accumulate);
    return b.call(0, [=, s = s](kernels::Stream stream) {
      kernels::from_planes<D>(s.n, s.c, s.pixels, in, y, accumulate, stream);
    });
  }
  template <Device D>
  Call copy(Buffers<D>& b, bool accumulate) const {
    const auto in = b.images(s.n, x);
    const auto y = b.output_images("y", s.n, before, accumulate);
    return b.call(0, [=, s = s](kernels::Stream stream) {
      kernels::copy_planes<D>(s.n, s.c, s.pixels, in, y, accumulate, stream);
    });
  }
  template <Device D>
  Call average(Buffers<D>& b) const {
    const auto in = b.images(s.n, x);
    float* y = b.output("y", std::int64_t{s.n} * s.c);
    return b.call(static_cast<double>(s.count()), [=, s = s](kernels::Stream stream) {
      kernels::average_planes_forward<D>(s.n, s.c, s.pixels, in, y, stream);
    });
  }
  template <Device D>
  Call average_backward(Buffers<D>& b) const {
    const float* dy = b.input(means);
    const auto dx = b.output_images("dx", s.n, s.count());
    return b.call(static_cast<double>(s.count()), [=, s = s](kernels::Stream stream) {
      kernels::average_planes_backward<D>(s.n, s.c, s.pixels, dy, dx, stream);
    });
  }
};

}  // namespace drnas::test
