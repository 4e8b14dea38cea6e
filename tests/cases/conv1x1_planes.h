// SPDX-License-Identifier: MIT
// Calls of kernels/planes/conv1x1_planes.h.
#pragma once

#include "kernels/planes/conv1x1_planes.h"
#include "tests/cases/shapes.h"

namespace drnas::test {

/// What a backward pass leaves out or adds to.
struct Conv1x1Wanted {
  bool dx = true, accumulate = false;
  unsigned dweight = ~0u;  ///< a bit an output
  bool weight(int o) const { return dweight >> o & 1u; }
};

struct Conv1x1Case {
  using Wanted = Conv1x1Wanted;
  kernels::Conv1x1Planes p;
  Doubles x, dx;  ///< dx: what is there before
  std::vector<Doubles> weight, dy;

  Conv1x1Case(Rng& rng, const kernels::Conv1x1Planes& shape)
      : p(shape), x(normals(rng, in().count())), dx(normals(rng, in().count())) {
    for (std::size_t i = 0; i < x.size(); i += 5) x[i] = 0.0;  // where ReLU bends
    for (int o = 0; o < p.outputs; ++o) {
      weight.push_back(normals(rng, std::int64_t{p.c_out[o]} * p.c_in));
      dy.push_back(normals(rng, out(o).count()));
    }
  }
  PlaneShape in() const { return {p.n, p.c_in, std::int64_t{p.h} * p.w}; }
  PlaneShape out(int o) const { return {p.n, p.c_out[o], std::int64_t{p.out_h()} * p.out_w()}; }
  double flops() const {
    double products = 0;
    for (const Doubles& of_output : dy) products += static_cast<double>(of_output.size()) * p.c_in;
    return 2 * products;
  }

  /// Results: y 0, y 1, ...
  template <Device D>
  Call forward(Buffers<D>& b) const {
    kernels::Conv1x1Forward k{};
    k.shape = p;
    k.x = b.images(p.n, x);
    for (int o = 0; o < p.outputs; ++o) {
      k.weight[o] = b.input(weight[o]);
      k.y[o] = b.output_images("y " + std::to_string(o), p.n, out(o).count());
    }
    void* workspace = b.workspace(kernels::conv1x1_forward_workspace<D>(p));
    return b.call(flops(), [=](kernels::Stream stream) {
      kernels::conv1x1_forward<D>(k, workspace, stream);
    });
  }
  /// Results: dx, dweight 0, dweight 1, ...; what is not wanted starts as values and keeps them.
  template <Device D>
  Call backward(Buffers<D>& b, const Wanted& wanted = {}) const {
    kernels::Conv1x1Backward k{};
    k.shape = p;
    k.x = b.images(p.n, x);
    k.accumulate = wanted.accumulate;
    const auto to = b.output_images("dx", p.n, dx, wanted.accumulate || !wanted.dx);
    if (wanted.dx) k.dx = to;
    for (int o = 0; o < p.outputs; ++o) {
      k.weight[o] = b.input(weight[o]);
      k.dy[o] = b.images(p.n, dy[o]);
      float* dweight = b.output("dweight " + std::to_string(o), weight[o], !wanted.weight(o));
      k.dweight[o] = wanted.weight(o) ? dweight : nullptr;
    }
    void* workspace = b.workspace(kernels::conv1x1_backward_workspace<D>(p));
    return b.call(2 * flops(), [=](kernels::Stream stream) {
      kernels::conv1x1_backward<D>(k, workspace, stream);
    });
  }
};

}  // namespace drnas::test
