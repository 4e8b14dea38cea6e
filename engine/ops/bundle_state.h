// SPDX-License-Identifier: MIT
// What a bundle of engine/ops/mixed_ops.h keeps between forward and backward, and the part of it
// that runs in a pass.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/ops/mixed_ops.h"

namespace drnas {

struct BundleState {
  struct EdgeGradient {
    Tensor dy;            // of the destination node
    Tensor coefficients;  // [sizes that the edge has, 3, c]
    Tensor theta;         // keeps the mixing weights alive
    int skip_theta = -1, pool_theta = -1, bypass_theta = -1;
  };
  kernels::ConvBundle shape;  // of the convolutions that run
  BundleParameters parameters;
  std::vector<int> size_of;      // of each size that runs: its place in `parameters`
  std::vector<Tensor> gathered;  // its weights, where only some of its edges run
  Variable x, token;             // the token stands on the tape for all raw outputs together
  std::vector<Tensor> z;
  Tensor statistics;  // per size [2, rows]: mean, 1/std; folded: mean alone
  std::vector<EdgeGradient> gradients;
  bool training = true;
  bool folded = false;  // z is one convolution an edge, see evaluated_bundle()

  /// Statistics of the first `sizes` sizes.
  std::int64_t statistics_of(int sizes) const {
    std::int64_t sum = 0;
    for (int s = 0; s < sizes; ++s) sum += std::int64_t{2} * shape.rows(s);
    return sum;
  }
  float* mean(int size) const { return statistics.data() + statistics_of(size); }
  float* inv_std(int size) const { return mean(size) + shape.rows(size); }
};

inline constexpr float batch_norm_eps = 1e-5f;

/// The state of a bundle that has not run. Throws Error where its parts do not fit each other.
std::shared_ptr<BundleState> make_bundle_state(const std::string& name, const Variable& x,
                                               const BundleParameters& parameters, bool training);
/// An array for the raw outputs of one size.
Tensor raw_outputs(const kernels::ConvBundle& b, int size, Device device, DType storage);
/// Throws Error unless there is a mixing weight for exactly the sizes of an edge that run.
void check_theta(const std::string& name, const BundleState& state, int edge,
                 const std::vector<int>& conv_theta);

/// Is the raw output of a size that runs rebuilt in backward?
bool rebuilds(const BundleState& state, int size);
/// Of `whole`, which describes all convolutions of the bundle, those that run; sizes that none has
/// are left out, and the weights of sizes of which only some edges run are gathered. Throws Error
/// for a part on another device than the CPU.
void choose_active(BundleState& state, const kernels::ConvBundle& whole);
/// Copies rows of the edges of a size that run to their places among those of all edges.
void scatter_rows(const BundleState& state, int size, const Tensor& running, const Tensor& all);

/// The weights of a size that runs.
template <class T>
const Tensor& weights_of(const BundleState& state, int size) {
  return state.gathered[size].empty() ? state.parameters.weights[state.size_of[size]].stored_as<T>()
                                      : state.gathered[size];
}

/// Running statistics of the edges of a size that run.
class RunningRows {
 public:
  RunningRows(const BundleState& state, int size);
  /// Puts what has moved where it belongs.
  void finish() const;
  float* mean() const { return own_[0].data(); }
  float* var() const { return own_[1].data(); }

 private:
  const BundleState& state_;
  int size_;
  Tensor all_[2], own_[2];
};

}  // namespace drnas
