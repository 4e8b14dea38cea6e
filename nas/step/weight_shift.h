// SPDX-License-Identifier: MIT
#pragma once

#include "nas/step/weight_update.h"

namespace drnas {

/// Moves a network's weights for a few passes and puts them back: all that a look at other weights
/// needs beside the network is one more copy of them.
class WeightShift {
 public:
  /// Copies the weights.
  explicit WeightShift(const ParameterStore& store);
  /// Puts them back, where that has not been done.
  ~WeightShift();
  WeightShift(const WeightShift&) = delete;
  WeightShift& operator=(const WeightShift&) = delete;

  /// To where a step of SGD by the gradients that the store holds would lead; momentum and
  /// gradients stay.
  void look_ahead(double learning_rate, const SgdRule& rule);
  /// To the copied weights plus `scale` times the gradients that the store holds.
  void along_gradient(double scale);
  void put_back();

 private:
  void move(double rate, float momentum, float weight_decay);

  const ParameterStore& store_;
  Tensor saved_;
  bool moved_ = false;
};

/// A weighted sum of gradients, in the place of the last ones.
class GradientSum {
 public:
  explicit GradientSum(const ParameterStore& store);
  /// Adds `share` of the gradients that the store holds.
  void add(double share);
  /// Makes the sum the store's gradients.
  void finish() const;

 private:
  const ParameterStore& store_;
  Tensor sum_;
};

/// L2 norm of the gradients that the store holds. Waits for the device.
double gradient_norm(const ParameterStore& store);

}  // namespace drnas
