// SPDX-License-Identifier: MIT
#include "nas/step/weight_update.h"

#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "kernels/train/optimizer.h"

namespace drnas {

void update_weights(const ParameterStore& store, const SgdRule& rule, const Tensor& learning_rate,
                    const Tensor& squared_norm, const Tensor& extra) {
  const Tensor& g = store.gradients();
  const kernels::SquaredNorm norm{g.elements(), g.data(), extra.empty() ? 0 : extra.elements(),
                                  extra.empty() ? nullptr : extra.data<double>(),
                                  squared_norm.data<double>()};
  const kernels::SgdStep step{store.weights().elements(),
                              learning_rate.data<double>(),
                              squared_norm.data<double>(),
                              rule.grad_clip,
                              rule.momentum,
                              rule.weight_decay,
                              store.weights().data(),
                              store.velocity().data(),
                              g.data(),
                              store.rounded().empty() ? nullptr : store.rounded().data<bfloat16>(),
                              rule.nesterov};
  dispatch(store.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::squared_norm_workspace<D>(norm));
    execute([&] {
      kernels::squared_norm<D>(norm, scratch.data(), compute_stream(D));
      kernels::sgd_step<D>(step, compute_stream(D));
    });
  });
}

}  // namespace drnas
