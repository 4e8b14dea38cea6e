// SPDX-License-Identifier: MIT
#include "engine/ops/bundle_state.h"
#include "engine/ops/mixed_ops.h"
#include "engine/ops/workspace.h"
#include "engine/stream.h"

namespace drnas {
namespace {

template <Device D, class T>
void run_folded(const BundleState& state, const BundleTheta& theta) {
  kernels::FoldedBundleOf<T> f{};
  f.bundle = state.shape;
  f.x = state.x.value().data<T>();
  for (int s = 0; s < f.bundle.sizes; ++s) {
    const int of = state.size_of[s];
    f.weight[s] = state.parameters.weights[of].value().data();
    f.running_mean[s] = state.parameters.running_mean[of].data();
    f.running_var[s] = state.parameters.running_var[of].data();
    for (int e = 0; e < f.bundle.edges; ++e) f.theta_index[s][e] = theta.index[e][of];
  }
  f.theta = theta.theta.value().data<double>();
  f.z = state.z[0].data<T>();
  f.mean = state.statistics.data();
  f.eps = batch_norm_eps;
  const Tensor scratch = workspace(D, kernels::folded_bundle_workspace<D>(f));
  execute([&] { kernels::folded_bundle_forward<D>(f, scratch.data(), compute_stream(D)); });
}

}  // namespace

Bundle evaluated_bundle(Tape& tape, const std::string& name, const Variable& x,
                        const BundleParameters& parameters, const BundleTheta& theta) {
  if (tape.device() == Device::cpu || tape.recording())
    return conv_bundle(tape, name, x, parameters, false);
  Bundle bundle;
  bundle.state_ = make_bundle_state(name, x, parameters, false);
  BundleState& state = *bundle.state_;
  for (int e = 0; e < state.shape.edges; ++e)
    check_theta(name, state, e, theta.index.at(static_cast<std::size_t>(e)));
  state.folded = true;
  if (state.shape.sizes == 0) return bundle;
  const kernels::ConvBundle folded = state.shape.folded();
  const DType storage = x.value().dtype();
  state.z.push_back(raw_outputs(folded, 0, tape.device(), storage));
  state.statistics = Tensor({1, 1, 1, folded.rows(0)}, MemoryTag::statistics, tape.device());
  dispatch(tape.device(), storage, [&]<Device D, class T>() {
    if constexpr (D == Device::cuda) run_folded<D, T>(state, theta);
  });
  return bundle;
}

}  // namespace drnas
