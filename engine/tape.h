// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace drnas {

/// How an operation writes a gradient: the first contribution overwrites, later ones add.
enum class GradientRule { overwrite, accumulate };

/// A tensor that operations read or made, with its gradient. Copies share one state.
class Variable {
 public:
  Variable() = default;
  explicit Variable(Tensor value, std::string name = {});
  /// A leaf whose gradient goes to memory of the caller, e.g. into a flat buffer. `rule` says what
  /// backward does to what is there.
  Variable(Tensor value, Tensor gradient, std::string name,
           GradientRule rule = GradientRule::overwrite);

  bool empty() const { return !state_; }
  const Tensor& value() const { return state_->value; }
  const Tensor& gradient() const { return state_->gradient; }
  /// The value once more in bfloat16, kept by the leaf's owner; empty where there is none.
  const Tensor& rounded() const { return state_->rounded; }
  void set_rounded(Tensor rounded) const { state_->rounded = std::move(rounded); }
  /// The value, or its copy, in the storage type T of activations. Throws Error without one.
  template <class T>
  const Tensor& stored_as() const {
    const Tensor& tensor = dtype_of<T>() == DType::f32 ? state_->value : state_->rounded;
    if (tensor.empty()) throw Error(state_->name + ": has no copy in bfloat16");
    return tensor;
  }
  /// Drops the value of a result that no backward pass reads, so that its memory need not wait for
  /// the tape. Its gradient keeps its shape.
  void release_value() const { state_->value = Tensor(); }
  const std::string& name() const { return state_->name; }
  /// What the operation that made it leaves for one that reads it and may do some of its work; null
  /// where there is nothing. The two agree about T.
  template <class T>
  std::shared_ptr<T> companion() const {
    return std::static_pointer_cast<T>(state_->companion);
  }
  void set_companion(std::shared_ptr<void> companion) const {
    state_->companion = std::move(companion);
  }

 private:
  friend class Tape;
  struct State {
    Tensor value, gradient, rounded;
    Shape shape;  // of the value, also when that is released
    DType dtype = DType::f32;
    Layout layout = Layout::nhwc;  // of its gradient
    std::string name;
    bool leaf_gradient = false;  // the gradient's memory is the caller's
    bool written = false;        // the gradient holds a contribution
    bool needed = false;         // wanted, or something wanted lies upstream
    GradientRule first_rule = GradientRule::overwrite;
    std::shared_ptr<void> companion;
  };
  std::shared_ptr<State> state_;
};

/// Memory to put a gradient into, and the rule; empty when the gradient is not wanted.
struct GradientSlot {
  Tensor tensor;
  GradientRule rule = GradientRule::overwrite;

  explicit operator bool() const { return !tensor.empty(); }
  bool accumulate() const { return rule == GradientRule::accumulate; }
};

/// Reverse-mode automatic differentiation: operations append themselves in execution order,
/// backward() walks in reverse, frees saved tensors as it goes and touches only what leads to a
/// wanted leaf.
class Tape {
 public:
  /// `recording` off: operations only compute (evaluation).
  explicit Tape(Device device = Device::cpu, bool recording = true)
      : device_(device), recording_(recording) {}

  Device device() const { return device_; }
  bool recording() const { return recording_; }
  /// Throws Error with the operation's name when a result or gradient holds NaN or infinity. Off by
  /// default: it reads everything once more.
  void trap_non_finite(bool on) { trap_ = on; }
  bool traps() const { return trap_; }

  /// Adds an operation. `backward` is called when its output's gradient is complete; it asks slot()
  /// for each input. Whatever it captures is the operation's saved state, and dies right after.
  void record(std::string name, std::vector<Variable> inputs, Variable output,
              std::function<void(Tape&)> backward);
  /// The same for several results; `backward` is called when a gradient has reached any of them.
  void record(std::string name, std::vector<Variable> inputs, std::vector<Variable> outputs,
              std::function<void(Tape&)> backward);

  /// Gradients of the scalar `loss` for the `wanted` leaves or intermediate results. A leaf that
  /// the loss does not depend on gets zero by its rule. The tape is empty afterwards.
  void backward(const Variable& loss, std::span<const Variable> wanted);

  /// For operations, during backward: is the gradient wanted, where does it go, what is it.
  bool wants(const Variable& variable) const { return variable.state_->needed; }
  GradientSlot slot(const Variable& variable);
  /// Like slot(), for inputs that an operation can only overwrite; throws Error when another
  /// operation has written.
  Tensor sole_slot(const Variable& variable);
  const Tensor& gradient(const Variable& variable) const;
  /// Has a gradient reached it?
  bool reached(const Variable& variable) const { return variable.state_->written; }
  /// Makes `gradient`, which holds the first contribution, the variable's gradient: for an
  /// operation whose input is part of its result. Throws Error when another operation has written.
  void adopt(const Variable& variable, const Tensor& gradient) const;
  /// Declares that an output has a gradient that is not a tensor (see conv_bundle and node_mix).
  void mark_written(const Variable& variable) const { variable.state_->written = true; }

  std::size_t size() const { return nodes_.size(); }

 private:
  struct Node {
    std::string name;
    std::vector<Variable> inputs;
    std::vector<Variable> outputs;
    std::function<void(Tape&)> backward;
  };
  void mark_needed(std::span<const Variable> wanted);
  static bool any_needed(const std::vector<Variable>& inputs);
  void run_backward(const Node& node);
  void settle(const Variable& leaf) const;
  bool finite(const Tensor& tensor) const;
  void check_gradients(const Node& node) const;

  Device device_;
  bool recording_, trap_ = false;
  std::vector<Node> nodes_;
};

}  // namespace drnas
