// SPDX-License-Identifier: MIT
// Calls of kernels/alpha/softmax_rows.h.
#pragma once

#include "kernels/alpha/softmax_rows.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

struct SoftmaxRowsCase {
  int edges, ops;
  Doubles alpha, dtheta;           ///< [edges, ops]
  std::vector<std::uint8_t> mask;  ///< empty: all kept

  SoftmaxRowsCase(Rng& rng, int rows, int columns, bool masked, double spread = 1)
      : edges(rows),
        ops(columns),
        alpha(normals(rng, std::int64_t{rows} * columns, spread)),
        dtheta(normals(rng, std::int64_t{rows} * columns)) {
    for (int i = 0; i < edges * ops && masked; ++i) mask.push_back(i % ops == 0 || rng() % 2);
  }

  template <Device D>
  Call forward(Buffers<D>& b) const {
    const double* in = b.template input<double>(alpha);
    const std::uint8_t* kept = b.template input<std::uint8_t>(mask);
    double* theta = b.template output<double>("theta", edges * ops);
    return b.call(4.0 * edges * ops, [=, edges = edges, ops = ops](kernels::Stream stream) {
      kernels::softmax_rows<D>(edges, ops, in, kept, theta, stream);
    });
  }
  /// `theta` as forward left it.
  template <Device D>
  Call backward(Buffers<D>& b, const Doubles& theta) const {
    const double *drawn = b.template input<double>(theta), *g = b.template input<double>(dtheta);
    double* dalpha = b.template output<double>("dalpha", edges * ops);
    return b.call(4.0 * edges * ops, [=, edges = edges, ops = ops](kernels::Stream stream) {
      kernels::softmax_rows_backward<D>(edges, ops, drawn, g, dalpha, stream);
    });
  }
};

}  // namespace drnas::test
