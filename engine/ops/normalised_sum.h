// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "engine/ops/derived_ops.h"
#include "kernels/planes/plane_norm.h"

namespace drnas {

/// The gradient of an operation's raw output, as the kernels before it read it.
struct RawGradient {
  kernels::PlaneGradient planes;
  Tensor coefficients, written;  ///< memory after `planes`
};

/// Batch normalisation of an operation's raw output while it is added to a node. Copies share the
/// statistics.
class NormalisedSum {
 public:
  NormalisedSum(const Tape& tape, const std::string& name, const Shape& raw,
                const NormParameters& norm, const Summand& to, bool training);

  /// Where the operation's kernel puts mean and 1/std, and the running statistics that it moves.
  kernels::PlaneStatistics statistics() const;
  /// For an operation whose kernel gives none.
  void measure(const Tensor& raw) const;
  /// sum (+)= image_scale (gamma (raw - mean)/std + beta).
  void add(const Tensor& raw) const;

  /// What a tape's operation reads: the given and the normalisation's weights.
  std::vector<Variable> inputs(std::vector<Variable> others) const;
  /// Gradients of gamma and beta, and of `raw` into dx where that is not empty.
  void backward(Tape& tape, const Tensor& raw, const Tensor& dx, bool accumulate) const;
  /// The same with the gradient of `raw` as coefficients; where images have factors of their own,
  /// written out.
  RawGradient raw_gradient(Tape& tape, const Tensor& raw) const;

 private:
  kernels::PlaneNormApply apply(const Tensor& raw) const;
  void backward(Tape& tape, const Tensor& raw, const Tensor& coefficients, const Tensor& dx,
                bool accumulate) const;

  std::string name_;
  kernels::PlaneNorm shape_;
  NormParameters norm_;
  Summand to_;
  bool training_;
  Tensor saved_;  // mean and 1/std
};

}  // namespace drnas
