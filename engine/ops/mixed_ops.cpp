// SPDX-License-Identifier: MIT
#include "engine/ops/mixed_ops.h"

#include <algorithm>
#include <type_traits>

#include "engine/ops/bundle_state.h"
#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "kernels/bundle/node_backward.h"
#include "kernels/bundle/node_forward.h"

namespace drnas {

namespace {

constexpr float batch_norm_momentum = 0.1f;

/// A node mix on the tape. The bundle that reads its result makes the node where that is
/// `deferred`, and may run its reductions.
struct MixedNode {
  std::string name;
  NodeMixInputs inputs;
  Variable theta;
  std::vector<std::shared_ptr<BundleState>> states;  // of the edges' bundles
  bool deferred = false, reduced = false;

  /// Does anything wanted lie before it?
  bool leads_to_wanted(const Tape& tape) const {
    return tape.wants(theta) || std::any_of(states.begin(), states.end(), [&](const auto& state) {
             return tape.wants(state->token);
           });
  }
};

template <Device D, class T>
Tensor forward_workspace(const kernels::ConvBundle& b) {
  if constexpr (std::is_same_v<T, float>)
    return workspace(D, kernels::conv_bundle_forward_workspace<D>(b));
  else
    return workspace(D, kernels::conv_bundle_forward_workspace_bfloat16<D>(b));
}

template <Device D, class T>
Tensor backward_workspace(const kernels::ConvBundle& b) {
  if constexpr (std::is_same_v<T, float>)
    return workspace(D, kernels::conv_bundle_backward_workspace<D>(b));
  else
    return workspace(D, kernels::conv_bundle_backward_workspace_bfloat16<D>(b));
}

/// The gates of the sizes [first, first + count).
kernels::BundleGates gates_of(const BundleState& state, int first, int count) {
  kernels::BundleGates out;
  if (state.parameters.gates.empty()) return out;
  for (int s = 0; s < count; ++s) {
    const std::vector<int>& of_size = state.parameters.gates[state.size_of[first + s]];
    for (std::size_t k = 0; k < of_size.size(); ++k)
      out.of[s][k] = state.parameters.gate_theta.data<double>() + of_size[k];
  }
  return out;
}

/// What an edge's convolutions add to a mix.
template <class T>
void add_terms(kernels::NodeMixOf<T>& mix, const std::string& name, const NodeMixEdge& edge,
               const BundleState& state) {
  check_theta(name, state, edge.edge, edge.conv_theta);
  const kernels::ConvBundle shape = state.folded ? state.shape.folded() : state.shape;
  for (int s = 0; s < shape.sizes; ++s) {
    if (!shape.has(s, edge.edge)) continue;
    if (mix.terms == kernels::NodeMix::max_terms)
      throw Error(name + ": too many candidate operations");
    const int first = shape.slot(s, edge.edge) * mix.c;
    kernels::NodeMixTermOf<T>& term = mix.term[mix.terms++];
    term = {state.z[s].data<T>() + first, shape.z_channels(s), state.mean(s) + first, nullptr, -1};
    if (state.folded) continue;
    term.inv_std = state.inv_std(s) + first;
    term.theta = edge.conv_theta[state.size_of[s]];
  }
}

/// The kernel's description of a mix.
template <class T>
kernels::NodeMixOf<T> describe(const MixedNode& node) {
  const auto& [name, inputs, theta, states, deferred, reduced] = node;
  const Shape x = states[0]->x.value().shape();
  kernels::NodeMixOf<T> mix{};
  mix.n = static_cast<int>(x.n);
  mix.h = static_cast<int>(x.h);
  mix.w = static_cast<int>(x.w);
  mix.c = states[0]->shape.c;
  mix.channels = static_cast<int>(x.c);
  mix.theta = theta.value().template data<double>();
  for (std::size_t i = 0; i < inputs.edges.size(); ++i) {
    const NodeMixEdge& edge = inputs.edges[i];
    const BundleState& state = *states[i];
    if (!(state.x.value().shape() == x) || state.shape.c != mix.c)
      throw Error(name + ": its sources " + to_string(x) + " and " +
                  to_string(state.x.value().shape()) + " differ");
    add_terms(mix, name, edge, state);
    if (mix.parts() == 1 && edge.skip_theta < 0 && edge.pool_theta < 0) continue;
    if (mix.sources == kernels::NodeMix::max_sources) throw Error(name + ": too many source nodes");
    mix.source[mix.sources++] = {state.x.value().data<T>(), edge.skip_theta, edge.pool_theta,
                                 state.shape.apart, edge.bypass_theta};
  }
  mix.gates = inputs.gates;
  return mix;
}

template <Device D, class T>
void run_mix(const kernels::NodeMixOf<T>& mix, const Tensor& y) {
  const Tensor scratch = workspace(D, kernels::node_mix_workspace<D>(mix));
  execute(
      [&] { kernels::node_mix_forward<D>(mix, y.data<T>(), scratch.data(), compute_stream(D)); });
}

/// Makes the node that a bundle reads, where its mix left that to the bundle. True: with the
/// bundle's forward pass.
template <Device D, class T>
bool make_node(const BundleState& state, const kernels::ConvBundleForwardOf<T>& f) {
  if constexpr (D == Device::cuda) {
    const auto node = state.x.companion<MixedNode>();
    if (!node || !node->deferred) return false;
    node->deferred = false;
    const auto mix = describe<T>(*node);
    if (!kernels::node_forward_joins(mix, f.bundle)) {
      run_mix<D, T>(mix, state.x.value());
      return false;
    }
    const Tensor scratch = forward_workspace<D, T>(f.bundle);
    execute([&] {
      kernels::node_forward(mix, state.x.value().data<T>(), f, scratch.data(), compute_stream(D));
    });
    return true;
  }
  return false;
}

template <Device D, class T>
void run_forward_as(const BundleState& state, int first, int count, bool training, bool running) {
  kernels::ConvBundleForwardOf<T> f{};
  f.bundle = state.shape;
  f.bundle.sizes = count;
  for (int s = 0; s < state.shape.sizes; ++s)
    f.bundle.reach = std::max(f.bundle.reach, state.shape.kernel[s]);
  f.x = state.x.value().data<T>();
  std::vector<RunningRows> running_of;
  for (int s = 0; s < count; ++s) {
    const int size = first + s;
    f.bundle.kernel[s] = state.shape.kernel[size];
    f.bundle.present[s] = state.shape.present[size];
    f.weight[s] = weights_of<T>(state, size).template data<T>();
    f.z[s] = state.z[size].data<T>();
    f.mean[s] = state.mean(size);
    f.inv_std[s] = state.inv_std(size);
    if (!running) continue;
    running_of.emplace_back(state, size);
    f.running_mean[s] = running_of.back().mean();
    f.running_var[s] = running_of.back().var();
  }
  f.gates = gates_of(state, first, count);
  f.training = training;
  f.eps = batch_norm_eps;
  f.momentum = batch_norm_momentum;
  if (!make_node<D, T>(state, f) && count > 0) {
    const Tensor scratch = forward_workspace<D, T>(f.bundle);
    execute([&] { kernels::conv_bundle_forward<D>(f, scratch.data(), compute_stream(D)); });
  }
  for (const RunningRows& statistics : running_of)
    if (training) statistics.finish();
}

/// Runs the kernel sizes [first, first + count). `running`: move or, in evaluation, use the running
/// statistics.
void run_forward(const BundleState& state, int first, int count, bool training, bool running,
                 Device device) {
  dispatch(device, state.x.value().dtype(), [&]<Device D, class T>() {
    run_forward_as<D, T>(state, first, count, training, running);
  });
}

/// Computes raw outputs that release() freed, with their statistics, from the node and the weights.
void rebuild_missing(BundleState& state, Device device) {
  for (int s = 0; s < state.shape.sizes; ++s) {
    if (!state.z[s].empty()) continue;
    state.z[s] = raw_outputs(state.shape, s, device, state.x.value().dtype());
    run_forward(state, s, 1, state.training, !state.training, device);
  }
}

/// The backward pass of a mix of which y has the gradient dy: leaves in every bundle what the
/// gradient of its edge needs.
template <Device D, class T>
kernels::NodeMixBackwardOf<T> prepare_backward(Tape& tape, const MixedNode& node,
                                               const kernels::NodeMixOf<T>& mix, const Tensor& dy) {
  kernels::NodeMixBackwardOf<T> b{};
  b.mix = mix;
  b.dy = dy.data<T>();
  b.fixed_statistics = !node.states[0]->training;
  int term = 0;
  for (std::size_t i = 0; i < node.inputs.edges.size(); ++i) {
    const NodeMixEdge& edge = node.inputs.edges[i];
    const auto count = std::count_if(edge.conv_theta.begin(), edge.conv_theta.end(),
                                     [](int index) { return index >= 0; });
    Tensor coefficients;
    if (count > 0) coefficients = Tensor({count, 1, 3, b.mix.c}, MemoryTag::statistics, D);
    for (int s = 0; s < count; ++s)
      b.coefficients[term++] = coefficients.data() + std::int64_t{3} * s * b.mix.c;
    node.states[i]->gradients[edge.edge] = {
        dy, coefficients, node.theta.value(), edge.skip_theta, edge.pool_theta, edge.bypass_theta};
    tape.mark_written(node.states[i]->token);
  }
  if (const GradientSlot slot = tape.slot(node.theta)) {
    if (!slot.accumulate()) slot.tensor.clear();
    b.dtheta = slot.tensor.data<double>();
  }
  return b;
}

template <Device D, class T>
void run_mix_backward(Tape& tape, const MixedNode& node, const Tensor& dy) {
  const auto b = prepare_backward<D, T>(tape, node, describe<T>(node), dy);
  const Tensor scratch = workspace(D, kernels::node_mix_backward_workspace<D>(b.mix));
  execute([&] { kernels::node_mix_backward<D>(b, scratch.data(), compute_stream(D)); });
  const bool weighs = std::any_of(node.inputs.edges.begin(), node.inputs.edges.end(),
                                  [](const NodeMixEdge& edge) { return edge.bypass_theta >= 0; });
  if (!b.dtheta || !weighs || b.mix.parts() == 1) return;
  const Tensor sums = workspace(D, kernels::node_bypass_workspace<D>(b.mix));
  execute([&] { kernels::node_bypass_backward<D>(b, sums.data(), compute_stream(D)); });
}

/// Runs a bundle's backward pass and the reductions of the mix that made its node. False: they do
/// not run as one.
template <Device D, class T>
bool run_joined(Tape& tape, const BundleState& state, const kernels::ConvBundleBackwardOf<T>& k) {
  if constexpr (D == Device::cuda) {
    const auto node = state.x.companion<MixedNode>();
    if (!node || !node->leads_to_wanted(tape)) return false;
    for (const auto& from : node->states) rebuild_missing(*from, D);
    const auto mix = describe<T>(*node);
    if (!kernels::node_backward_joins(k.bundle, mix)) return false;
    const auto b = prepare_backward<D, T>(tape, *node, mix, tape.gradient(state.x));
    const Tensor scratch = workspace(D, kernels::node_backward_workspace(k.bundle, mix));
    execute([&] { kernels::node_backward(k, b, scratch.data(), compute_stream(D)); });
    node->reduced = true;
    return true;
  }
  return false;
}

template <Device D, class T>
void run_backward(Tape& tape, const BundleState& state) {
  const kernels::ConvBundle& b = state.shape;
  kernels::ConvBundleBackwardOf<T> k{};
  k.bundle = b;
  k.gates = gates_of(state, 0, b.sizes);
  k.zeros_rest = !state.parameters.gate_theta.empty();
  k.x = state.x.value().data<T>();
  Tensor dweight[kernels::ConvBundle::max_sizes], own[kernels::ConvBundle::max_sizes];
  for (int s = 0; s < b.sizes; ++s) {
    const Variable& weight = state.parameters.weights[state.size_of[s]];
    k.weight[s] = weights_of<T>(state, s).template data<T>();
    k.z[s] = state.z[s].data<T>();
    if (!tape.wants(weight)) continue;
    dweight[s] = tape.sole_slot(weight);
    if (!state.gathered[s].empty()) {
      dweight[s].clear();
      own[s] = Tensor(state.gathered[s].shape(), MemoryTag::workspace, D);
    }
    k.dweight[s] = (own[s].empty() ? dweight[s] : own[s]).data();
  }
  for (int e = 0; e < b.edges; ++e) {
    const BundleState::EdgeGradient& from = state.gradients[e];
    kernels::BundleEdgeGradientOf<T>& to = k.edge[e];
    to.dy = from.dy.data<T>();
    int place = 0;
    for (int s = 0; s < b.sizes; ++s)
      if (b.has(s, e))
        to.coefficients[s] = from.coefficients.data() + std::int64_t{3} * place++ * b.c;
    const double* theta = from.theta.data<double>();
    to.skip_weight = from.skip_theta < 0 ? nullptr : theta + from.skip_theta;
    to.pool_weight = from.pool_theta < 0 ? nullptr : theta + from.pool_theta;
    to.bypass_weight = from.bypass_theta < 0 ? nullptr : theta + from.bypass_theta;
  }
  if (tape.wants(state.x)) k.dx = tape.sole_slot(state.x).data<T>();
  if (!(k.dx && run_joined<D, T>(tape, state, k))) {
    const Tensor scratch = backward_workspace<D, T>(b);
    execute([&] { kernels::conv_bundle_backward<D>(k, scratch.data(), compute_stream(D)); });
  }
  for (int s = 0; s < b.sizes; ++s)
    if (!own[s].empty()) scatter_rows(state, s, own[s], dweight[s]);
}

}  // namespace

const Variable& Bundle::source() const { return state_->x; }

void Bundle::release() const {
  for (int s = 0; s < state_->shape.sizes && !state_->folded; ++s)
    if (rebuilds(*state_, s)) state_->z[s] = Tensor();
}

Bundle conv_bundle(Tape& tape, const std::string& name, const Variable& x,
                   const BundleParameters& parameters, bool training) {
  const auto state = make_bundle_state(name, x, parameters, training);
  const kernels::ConvBundle& b = state->shape;
  const Device device = tape.device();
  for (int s = 0; s < b.sizes; ++s)
    state->z.push_back(raw_outputs(b, s, device, x.value().dtype()));
  state->gradients.resize(b.edges);
  if (b.sizes > 0)
    state->statistics =
        Tensor({1, 1, 1, state->statistics_of(b.sizes)}, MemoryTag::statistics, device);
  run_forward(*state, 0, b.sizes, training, true, device);
  state->token = Variable(state->statistics, name);
  std::vector<Variable> inputs = parameters.weights;
  inputs.push_back(x);
  tape.record(name, std::move(inputs), state->token, [state](Tape& t) {
    dispatch(t.device(), state->x.value().dtype(),
             [&]<Device D, class T>() { run_backward<D, T>(t, *state); });
    state->z.clear();
    state->gradients.clear();
  });
  Bundle bundle;
  bundle.state_ = state;
  return bundle;
}

Variable node_mix(Tape& tape, const std::string& name, const NodeMixInputs& inputs,
                  const Variable& theta) {
  const auto node = std::make_shared<MixedNode>(MixedNode{name, inputs, theta, {}});
  for (const NodeMixEdge& edge : inputs.edges) node->states.push_back(edge.bundle.state_);
  const BundleState& first = *node->states[0];
  const Tensor& x = first.x.value();
  const DType storage = x.dtype();
  const bool apart = inputs.for_bundles && tape.device() == Device::cuda && first.shape.parts() > 1;
  const Variable y(Tensor(x.shape(), MemoryTag::activations, tape.device(), storage,
                          apart ? Layout::apart : Layout::nhwc),
                   name);
  // A tape that traps reads the node at once.
  const bool joins = inputs.joins_bundle && tape.device() == Device::cuda && tape.recording() &&
                     first.shape.parts() == 1;
  node->deferred = joins && !tape.traps();
  if (!node->deferred)
    dispatch(tape.device(), storage, [&]<Device D, class T>() {
      kernels::NodeMixOf<T> mix = describe<T>(*node);
      mix.y_apart = apart;
      run_mix<D, T>(mix, y.value());
    });
  if (!tape.recording()) return y;
  std::vector<Variable> on_tape{theta};
  for (const auto& state : node->states) on_tape.push_back(state->token);
  if (joins) y.set_companion(node);
  tape.record(name, std::move(on_tape), y, [=](Tape& t) {
    y.set_companion(nullptr);
    if (node->reduced) return;
    for (const auto& state : node->states) rebuild_missing(*state, t.device());
    dispatch(t.device(), storage,
             [&]<Device D, class T>() { run_mix_backward<D, T>(t, *node, t.gradient(y)); });
  });
  return y;
}

}  // namespace drnas
