// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace drnas {

/// The architecture parameters alpha [edges, ops] in float64, with what Adam keeps about them.
struct ArchitectureParameters {
  int edges, ops;
  Tensor alpha, gradient, first_moment, second_moment;  ///< [1, 1, edges, ops], float64
  Tensor adam_steps;                                    ///< [1] int64: steps done

  /// alpha = 1e-3 N(0, 1) from the Philox stream (seed, init).
  ArchitectureParameters(int edges, int ops, std::uint64_t seed, Device device);
};

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
  const Tensor& sample(std::uint32_t step);
  /// Overwrites parameters().gradient with the gradient for alpha.
  virtual void backward(const Tensor& dtheta) = 0;
  /// Mean of theta, row-major [edges][ops]: the architecture is its largest entry per edge.
  virtual std::vector<std::vector<double>> mean() const = 0;
  /// What the report calls concentrations: beta for a Dirichlet, the weights themselves elsewhere.
  virtual std::vector<std::vector<double>> concentrations() const = 0;
  /// Adds lambda times the gradient of the distance to the symmetric Dirichlet; throws Error where
  /// there is none.
  virtual void add_kl_gradient(double lambda) = 0;

  ArchitectureParameters& parameters() { return parameters_; }
  const ArchitectureParameters& parameters() const { return parameters_; }

 protected:
  explicit MixingDistribution(ArchitectureParameters parameters);
  std::vector<std::vector<double>> table(const Tensor& values) const;
  Tensor make_table() const;

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
