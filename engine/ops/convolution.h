// SPDX-License-Identifier: MIT
// Convolutions on either storage type, which they read of the weights too; gradients of weights are
// float32 outside.
#pragma once

#include <type_traits>

#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "engine/tape.h"
#include "kernels/layers/conv2d.h"

namespace drnas {

template <Device D, class T>
class Convolution {
 public:
  explicit Convolution(const kernels::Conv2d& shape) : p_(shape) {}

  void forward(const Tensor& x, const Variable& weight, const Tensor& y) const {
    const Tensor &w = weight.stored_as<T>(), scratch = scratch_for(kernels::ConvPass::forward);
    execute([&] {
      if constexpr (plain)
        kernels::conv2d_forward<D>(p_, x.data(), w.data(), y.data(), scratch.data(), stream());
      else
        kernels::conv2d_forward(p_, x.data<T>(), w.data<T>(), y.data<T>(), scratch.data(),
                                stream());
    });
  }
  void backward_data(const Tensor& dy, const Variable& weight, const Tensor& dx) const {
    const Tensor &w = weight.stored_as<T>(),
                 scratch = scratch_for(kernels::ConvPass::backward_data);
    execute([&] {
      if constexpr (plain)
        kernels::conv2d_backward_data<D>(p_, dy.data(), w.data(), dx.data(), scratch.data(),
                                         stream());
      else
        kernels::conv2d_backward_data(p_, dy.data<T>(), w.data<T>(), dx.data<T>(), scratch.data(),
                                      stream());
    });
  }
  void backward_weight(const Tensor& x, const Tensor& dy, const Tensor& dw) const {
    const Tensor scratch = scratch_for(kernels::ConvPass::backward_weight);
    execute([&] {
      if constexpr (plain)
        kernels::conv2d_backward_weight<D>(p_, x.data(), dy.data(), dw.data(), scratch.data(),
                                           stream());
      else
        kernels::conv2d_backward_weight(p_, x.data<T>(), dy.data<T>(), dw.data(), scratch.data(),
                                        stream());
    });
  }

 private:
  static constexpr bool plain = std::is_same_v<T, float>;
  static kernels::Stream stream() { return compute_stream(D); }

  Tensor scratch_for(kernels::ConvPass pass) const {
    if constexpr (plain)
      return workspace(D, kernels::conv2d_workspace<D>(p_, pass));
    else
      return workspace(D, kernels::conv2d_workspace_bfloat16(p_, pass));
  }

  kernels::Conv2d p_;
};

}  // namespace drnas
