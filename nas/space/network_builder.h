// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "engine/ops/derived_ops.h"
#include "engine/parameters/parameters.h"

namespace drnas {

/// Builds a network in two runs of the same code: the first declares every weight and statistic and
/// gets empty handles, the second, after allocate(), gets their memory in the same order.
class NetworkBuilder {
 public:
  explicit NetworkBuilder(ParameterStore& store) : store_(store) {}

  Variable weight(const std::string& name, Shape shape, Initial initial, WideningAxes axes = {}) {
    if (!bound_) {
      weights_.push_back(store_.add(name, shape, initial, false, std::move(axes)));
      return {};
    }
    leaves_.push_back(store_.leaf(weights_.at(next_weight_++), shape, name));
    return leaves_.back();
  }
  /// A running mean or variance of `channels` values.
  Tensor statistic(const std::string& name, std::int64_t channels, float initial,
                   const std::string& axis = {}, std::vector<std::string> aliases = {}) {
    const Shape shape{1, 1, 1, channels};
    if (!bound_) {
      statistics_.push_back(
          store_.add_statistic(name, shape, initial, false, {axis, {}}, std::move(aliases)));
      return {};
    }
    return store_.statistic(statistics_.at(next_statistic_++), shape);
  }
  /// Ends the first run.
  void allocate(std::uint64_t seed) {
    store_.allocate(seed);
    bound_ = true;
  }
  /// Every weight, after the second run.
  const std::vector<Variable>& leaves() const { return leaves_; }

 private:
  ParameterStore& store_;
  bool bound_ = false;
  std::vector<std::int64_t> weights_, statistics_;
  std::size_t next_weight_ = 0, next_statistic_ = 0;
  std::vector<Variable> leaves_;
};

/// Statistics, and weights where `affine`; `axis`: see WideningAxes.
NormParameters build_norm(NetworkBuilder& builder, const std::string& name, int channels,
                          bool affine = true, const std::string& axis = {});
/// Of planes or NHWC, whichever x is.
Variable run_norm(Tape& tape, const std::string& name, const NormParameters& norm,
                  const Variable& x, bool training);

}  // namespace drnas
