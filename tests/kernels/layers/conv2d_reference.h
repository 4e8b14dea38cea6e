// SPDX-License-Identifier: MIT
// The three passes of a convolution in float64, product by product.
#pragma once

#include "tests/cases/conv2d.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// Calls body(x index, weight index, y index) for every product of the convolution.
template <class Body>
void each_product(const kernels::Conv2d& p, const Body& body) {
  for (int n = 0; n < p.n; ++n)
    for (int i = 0; i < p.out_h(); ++i)
      for (int j = 0; j < p.out_w(); ++j)
        for (int a = 0; a < p.kernel; ++a)
          for (int b = 0; b < p.kernel; ++b) {
            const int u = i * p.stride + a - p.padding, v = j * p.stride + b - p.padding;
            if (u < 0 || v < 0 || u >= p.h || v >= p.w) continue;
            for (int o = 0; o < p.c_out; ++o)
              for (int k = 0; k < p.c_in; ++k)
                body(((std::size_t(n) * p.h + u) * p.w + v) * p.c_in + k,
                     ((std::size_t(o) * p.kernel + a) * p.kernel + b) * p.c_in + k,
                     ((std::size_t(n) * p.out_h() + i) * p.out_w() + j) * p.c_out + o);
          }
}

struct Conv2dReference {
  Bounded y, dx, dw;

  explicit Conv2dReference(const Conv2dCase& c)
      : y(static_cast<std::int64_t>(c.dy.size())),
        dx(static_cast<std::int64_t>(c.x.size())),
        dw(c.p.weight_count()) {
    each_product(c.p, [&](std::size_t at_x, std::size_t at_w, std::size_t at_y) {
      y.add(at_y, c.x[at_x] * c.w[at_w]);
      dx.add(at_x, c.dy[at_y] * c.w[at_w]);
      dw.add(at_w, c.dy[at_y] * c.x[at_x]);
    });
  }
};

}  // namespace drnas::test
