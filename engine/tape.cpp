// SPDX-License-Identifier: MIT
#include "engine/tape.h"

#include <algorithm>

#include "engine/stream.h"
#include "kernels/core/named_range.h"
#include "kernels/train/elementwise.h"

namespace drnas {

Variable::Variable(Tensor value, std::string name) : state_(std::make_shared<State>()) {
  state_->shape = value.shape();
  state_->dtype = value.dtype();
  state_->layout = value.layout() == Layout::apart ? Layout::nhwc : value.layout();
  state_->value = std::move(value);
  state_->name = std::move(name);
}

Variable::Variable(Tensor value, Tensor gradient, std::string name, GradientRule rule)
    : Variable(std::move(value), std::move(name)) {
  if (!(gradient.shape() == state_->value.shape()))
    throw Error("variable " + state_->name + ": value " + to_string(state_->value.shape()) +
                " and gradient " + to_string(gradient.shape()) + " differ");
  state_->gradient = std::move(gradient);
  state_->leaf_gradient = true;
  state_->first_rule = rule;
}

void Tape::record(std::string name, std::vector<Variable> inputs, Variable output,
                  std::function<void(Tape&)> backward) {
  record(std::move(name), std::move(inputs), std::vector{std::move(output)}, std::move(backward));
}

void Tape::record(std::string name, std::vector<Variable> inputs, std::vector<Variable> outputs,
                  std::function<void(Tape&)> backward) {
  if (trap_)
    for (const Variable& output : outputs)
      if (!finite(output.value())) throw Error("result of operation " + name + " is not finite");
  if (recording_)
    nodes_.push_back({std::move(name), std::move(inputs), std::move(outputs), std::move(backward)});
}

void Tape::mark_needed(std::span<const Variable> wanted) {
  for (const Node& node : nodes_) {
    for (const Variable& input : node.inputs) input.state_->needed = false;
    for (const Variable& output : node.outputs) output.state_->needed = false;
  }
  for (const Variable& leaf : wanted) {
    leaf.state_->needed = true;
    leaf.state_->written = false;
  }
  for (const Node& node : nodes_)
    if (any_needed(node.inputs))
      for (const Variable& output : node.outputs) output.state_->needed = true;
}

bool Tape::any_needed(const std::vector<Variable>& inputs) {
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const Variable& input) { return input.state_->needed; });
}

GradientSlot Tape::slot(const Variable& variable) {
  Variable::State& state = *variable.state_;
  if (!state.needed) return {};
  const GradientRule rule = state.written ? GradientRule::accumulate : state.first_rule;
  if (state.gradient.empty())
    state.gradient = Tensor(state.shape, MemoryTag::gradients, device_, state.dtype, state.layout);
  state.written = true;
  return {state.gradient, rule};
}

Tensor Tape::sole_slot(const Variable& variable) {
  const GradientSlot found = slot(variable);
  if (found.accumulate())
    throw Error("tape: " + variable.name() + " is read by more than one operation");
  return found.tensor;
}

const Tensor& Tape::gradient(const Variable& variable) const {
  if (!variable.state_->written || variable.state_->gradient.empty())
    throw Error("tape: no gradient has reached " + (variable.name().empty()
                                                        ? std::string("an intermediate result")
                                                        : variable.name()));
  return variable.state_->gradient;
}

void Tape::adopt(const Variable& variable, const Tensor& gradient) const {
  Variable::State& state = *variable.state_;
  if (!state.needed) return;
  if (state.written || state.leaf_gradient)
    throw Error("tape: " + state.name + " has a gradient already");
  state.gradient = gradient;
  state.written = true;
}

bool Tape::finite(const Tensor& tensor) const {
  const bool floats = tensor.dtype() == DType::f32 || tensor.dtype() == DType::bf16;
  if (planning() || tensor.empty() || !floats || !tensor.dense()) return true;
  return dispatch(device_, tensor.dtype(), [&]<Device D, class T>() {
    return kernels::all_finite<D>(tensor.elements(), tensor.data<T>(), compute_stream(D));
  });
}

void Tape::check_gradients(const Node& node) const {
  for (const Variable& input : node.inputs)
    if (input.state_->written && !finite(input.state_->gradient))
      throw Error("gradient of operation " + node.name + " is not finite");
}

void Tape::run_backward(const Node& node) {
  const bool reached = std::any_of(node.outputs.begin(), node.outputs.end(),
                                   [](const Variable& o) { return o.state_->written; });
  if (!reached || !any_needed(node.inputs)) return;
  const NamedRange range(node.name.c_str());
  node.backward(*this);
  if (trap_) check_gradients(node);
}

/// Ends the pass for a wanted variable: what no operation has written to is zero.
void Tape::settle(const Variable& leaf) const {
  Variable::State& state = *leaf.state_;
  if (!state.written && state.first_rule == GradientRule::overwrite) {
    if (state.gradient.empty())
      state.gradient =
          Tensor(state.shape, MemoryTag::gradients, device_, state.dtype, state.layout);
    state.gradient.clear();
  }
}

void Tape::backward(const Variable& loss, std::span<const Variable> wanted) {
  if (loss.value().elements() != 1)
    throw Error("tape: backward() needs a scalar loss, got " + to_string(loss.value().shape()));
  mark_needed(wanted);
  if (const GradientSlot seed = slot(loss)) {
    const Tensor& one = seed.tensor;
    dispatch(device_, [&]<Device D>() {
      execute([&] { kernels::fill<D>(1, 1.0f, one.data(), compute_stream(D)); });
    });
    for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
      run_backward(*node);
      *node = Node{};
    }
  }
  nodes_.clear();
  for (const Variable& leaf : wanted) settle(leaf);
  for (const Variable& leaf : wanted) leaf.state_->written = false;
}

}  // namespace drnas
