// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "kernels/alpha/alpha_step.h"

namespace drnas {

/// The architecture parameters alpha [edges, ops] in float64, with what Adam keeps about them.
struct ArchitectureParameters {
  int edges, ops;
  Tensor alpha, gradient, first_moment, second_moment;  ///< [1, 1, edges, ops], float64
  Tensor adam_steps;                                    ///< [1] int64: steps done
  Tensor mask;  ///< [1, 1, edges, ops] uint8: 0 for pruned operations; empty: none is

  /// alpha = 1e-3 N(0, 1) from the Philox stream (seed, init).
  ArchitectureParameters(int edges, int ops, std::uint64_t seed, Device device);
  /// Leaves the operations whose entry is 0 out of every mixture from now on: their alpha and
  /// moments rest at zero.
  void prune(const std::vector<std::uint8_t>& kept);
  const std::uint8_t* mask_data() const {
    return mask.empty() ? nullptr : mask.data<std::uint8_t>();
  }
};

/// What an architecture is read off by: the mean of theta (the paper), or softmax(alpha) over the
/// operations that are kept (the published code). Within an edge both have the same largest entry;
/// the DARTS space also compares edges, where they differ.
enum class Ranking { mean, softmax };

/// A distribution over mixing weights theta [edges, ops] with parameters alpha: the seam where
/// DrNAS, DARTS, SNAS, GDAS and others differ. sample() gives theta; backward() turns dL/dtheta of
/// the last sample into dL/dalpha.
class MixingDistribution {
 public:
  virtual ~MixingDistribution() = default;
  virtual std::string name() const = 0;
  /// The mixing weights of forward pass number *step (each pass has its own number), read from the
  /// device's memory. Valid until the next call.
  virtual const Tensor& draw(const std::uint32_t* step) = 0;
  /// Numbers count up from 0 in a search's passes; trajectories and expectations count down from
  /// 0xfffffffe and 0xbfffffff.
  const Tensor& sample(std::uint32_t step);
  /// The same on the host, row-major [edges][ops].
  std::vector<std::vector<double>> sampled(std::uint32_t step) { return table(sample(step)); }
  /// Overwrites parameters().gradient with the gradient for alpha.
  virtual void backward(const Tensor& dtheta) = 0;
  /// Mean of theta, row-major [edges][ops].
  virtual std::vector<std::vector<double>> mean() const = 0;
  /// The weights of either ranking, row-major [edges][ops].
  std::vector<std::vector<double>> ranked_by(Ranking ranking) const;
  /// What the report calls concentrations: beta for a Dirichlet, the weights themselves elsewhere.
  virtual std::vector<std::vector<double>> concentrations() const = 0;
  /// Ends an architecture step: parameters().gradient = the gradient for alpha, plus kl times that
  /// of the distance to the symmetric Dirichlet; its squared norm to squared_norm [1] float64; then
  /// alpha by Adam, which moves nothing where that norm is not finite. Throws Error where kl is not
  /// zero and there is no such distance.
  void update(const Tensor& dtheta, const kernels::AdamRule& rule, double kl,
              const Tensor& squared_norm);

  /// Row-major [edges][ops].
  std::vector<std::vector<double>> alpha() const { return table(parameters_.alpha); }
  ArchitectureParameters& parameters() { return parameters_; }
  const ArchitectureParameters& parameters() const { return parameters_; }

 protected:
  explicit MixingDistribution(ArchitectureParameters parameters);
  std::vector<std::vector<double>> table(const Tensor& values) const;
  Tensor make_table() const;
  /// theta [1, 1, edges, ops] = softmax(alpha) over the operations that are kept.
  void softmax_of_alpha(const Tensor& theta) const;
  /// What update() does about dL/dalpha of the last sample: computes it, or enters what the kernel
  /// needs for it.
  virtual void enter_gradient(const Tensor& dtheta, kernels::AlphaStep& step);

  ArchitectureParameters parameters_;

 private:
  Tensor step_;  // [1] uint32, for sample()
};

/// DrNAS: theta ~ Dirichlet(elu(alpha) + 1), exact pathwise derivative. `seed` keys the draws.
std::unique_ptr<MixingDistribution> make_dirichlet(ArchitectureParameters parameters,
                                                   std::uint64_t seed);
/// DARTS, first order: theta = softmax(alpha), no randomness.
std::unique_ptr<MixingDistribution> make_softmax(ArchitectureParameters parameters);
/// By method name (drnas, darts); throws Error that lists the known ones.
std::unique_ptr<MixingDistribution> make_distribution(const std::string& method,
                                                      ArchitectureParameters parameters,
                                                      std::uint64_t seed);

}  // namespace drnas
