// SPDX-License-Identifier: MIT
// Calls of kernels/layers/conv2d.h.
#pragma once

#include "kernels/layers/conv2d.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

struct Conv2dCase {
  using Pass = kernels::ConvPass;
  static constexpr Pass passes[] = {Pass::forward, Pass::backward_data, Pass::backward_weight};
  kernels::Conv2d p;
  Doubles x, w, dy;

  Conv2dCase(Rng& rng, const kernels::Conv2d& shape)
      : p(shape),
        x(normals(rng, std::int64_t{p.n} * p.h * p.w * p.c_in)),
        w(normals(rng, p.weight_count())),
        dy(normals(rng, std::int64_t{p.n} * p.out_h() * p.out_w() * p.c_out)) {}
  /// Products that an element of a pass's result sums.
  double terms(Pass pass) const {
    if (pass == Pass::backward_weight) return static_cast<double>(p.n) * p.out_h() * p.out_w();
    return static_cast<double>(p.kernel) * p.kernel * (pass == Pass::forward ? p.c_in : p.c_out);
  }

  /// Results: y, dx or dw.
  template <Device D>
  Call pass(Buffers<D>& b, Pass of) const {
    const auto [left, right, out] = tensors<float>(b, of);
    void* workspace = b.workspace(kernels::conv2d_workspace<D>(p, of));
    return b.call(p.flops(), [=, p = p, left = left, right = right, out = out](auto stream) {
      constexpr decltype(&kernels::conv2d_forward<D>) run[] = {kernels::conv2d_forward<D>,
                                                               kernels::conv2d_backward_data<D>,
                                                               kernels::conv2d_backward_weight<D>};
      run[static_cast<int>(of)](p, left, right, out, workspace, stream);
    });
  }
  /// The same in bfloat16: CUDA only.
  template <Device D>
  Call pass_bfloat16(Buffers<D>& b, Pass of) const {
    void* workspace = b.workspace(kernels::conv2d_workspace_bfloat16(p, of));
    if (of == Pass::backward_weight) {
      const bfloat16 *in = b.template input<bfloat16>(x), *d = b.template input<bfloat16>(dy);
      float* dw = b.output("dw", p.weight_count());
      return b.call(p.flops(), [=, p = p](auto stream) {
        kernels::conv2d_backward_weight(p, in, d, dw, workspace, stream);
      });
    }
    const auto [left, right, out] = tensors<bfloat16>(b, of);
    return b.call(p.flops(), [=, p = p, left = left, right = right, out = out](auto stream) {
      if (of == Pass::forward)
        kernels::conv2d_forward(p, left, right, out, workspace, stream);
      else
        kernels::conv2d_backward_data(p, left, right, out, workspace, stream);
    });
  }

 private:
  template <class T>
  struct Tensors {
    const T *left, *right;
    T* out;
  };
  template <class T, Device D>
  Tensors<T> tensors(Buffers<D>& b, Pass of) const {
    const Doubles& left = of == Pass::backward_data ? dy : x;
    const Doubles& right = of == Pass::backward_weight ? dy : w;
    const Doubles& like = of == Pass::forward ? dy : of == Pass::backward_data ? x : w;
    const char* name = of == Pass::forward ? "y" : of == Pass::backward_data ? "dx" : "dw";
    return {b.template input<T>(left), b.template input<T>(right),
            b.template output<T>(name, static_cast<std::int64_t>(like.size()))};
  }
};

}  // namespace drnas::test
