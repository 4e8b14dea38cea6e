// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/alpha/alpha_step.h"
#include "nas/method/alpha.h"
#include "nas/step/pass.h"

namespace drnas {

/// What an architecture is read off by: the mean of theta (the paper), or softmax(alpha) over the
/// operations that are kept (the published code). Within an edge both have the same largest entry;
/// the DARTS space also compares edges, where they differ.
enum class Ranking { mean, softmax };

/// How mixing weights theta [edges, operations] come from alpha, and how their gradient goes back.
class Law : public ThetaSource {
 public:
  const Tensor& alpha_gradient() const override { return alpha_.gradient; }
  /// Numbers count up from 0 in a search's passes; trajectories and expectations count down from
  /// 0xfffffffe and 0xbfffffff.
  const Tensor& sample(std::uint32_t step);
  /// The same on the host, row-major [edges][operations].
  std::vector<std::vector<double>> sampled(std::uint32_t step);

  /// Mean of theta, row-major [edges][operations].
  virtual std::vector<std::vector<double>> mean() const = 0;
  /// The weights of either ranking, row-major [edges][operations].
  virtual std::vector<std::vector<double>> ranked_by(Ranking ranking) const;
  /// What the report calls concentrations: beta for a Dirichlet, the weights themselves elsewhere.
  virtual std::vector<std::vector<double>> concentrations() const = 0;
  /// Is theta a draw from a Dirichlet, which has a divergence from the symmetric one and a
  /// variance?
  virtual bool is_dirichlet() const { return false; }
  /// The weights of whole edges, where the law has them.
  virtual std::vector<double> edge_weights() const { return {}; }
  /// The sets of alpha that each sum to one, where alpha lies on the simplex.
  virtual std::vector<kernels::EntrySet> simplex_sets() const;
  /// For an alpha rule: computes alpha's gradient of the last draw, or enters what the rule's
  /// kernel needs for computing it.
  virtual void enter_gradient(const Tensor& dtheta, kernels::AlphaStep& step);

  /// theta = softmax(alpha) over the operations that are kept.
  void softmax_of_alpha(const Tensor& theta) const;

  Alpha& alpha() { return alpha_; }
  const Alpha& alpha() const { return alpha_; }

 protected:
  explicit Law(Alpha alpha);
  /// Columns of a table of alpha's shape that are operations.
  virtual int operations() const { return alpha_.ops; }
  /// Their entries, row-major [edges][operations].
  std::vector<std::vector<double>> operation_rows(const Tensor& table) const;

  Alpha alpha_;

 private:
  Tensor step_;  // [1] uint32, for sample()
};

/// theta ~ Dirichlet(elu(alpha) + 1), exact pathwise derivative (DrNAS, section 3). `seed` keys the
/// draws.
std::unique_ptr<Law> make_dirichlet_law(Alpha alpha, std::uint64_t seed);
/// theta = softmax(alpha), no randomness (DARTS, equation 2).
std::unique_ptr<Law> make_softmax_law(Alpha alpha);

/// The tables of draws by Gumbel noise: see kernels/alpha/mixing.h.
struct GumbelTables {
  Tensor theta, soft;  ///< of the last draw
  Tensor temperature;  ///< [1] float64, in the device's memory

  /// The temperature starts at 1.
  explicit GumbelTables(const Alpha& alpha);
  const Tensor& draw(const Alpha& alpha, std::uint64_t seed, const std::uint32_t* step,
                     int samples) const;
};

/// Draws by Gumbel noise.
class GumbelLaw : public Law {
 public:
  /// What dL/dtheta becomes: the derivative of the soft draw (straight through where one operation
  /// is sampled), the score function with first-order credit, or the derivative of softmax(alpha)
  /// taken at the sampled weights (ProxylessNAS, Cai et al., ICLR 2019, equation 4), over all
  /// operations or the pair that is sampled.
  enum class Gradient { soft, score, softmax, pair };

  /// Of the draws from now on, also of recorded steps.
  virtual void set_temperature(double temperature) = 0;
  /// Of the last draw.
  virtual const Tensor& theta() const = 0;

 protected:
  using Law::Law;
};
/// theta = softmax((alpha + G) / temperature) (SNAS, Xie et al., ICLR 2019), or with 1 or 2
/// `samples` so many operations of each edge. The temperature starts at 1.
std::unique_ptr<GumbelLaw> make_gumbel_law(Alpha alpha, std::uint64_t seed, int samples,
                                           GumbelLaw::Gradient gradient);
/// One operation of each edge, drawn from the law's alpha, for passes that alpha does not learn
/// from. The law outlives it.
std::unique_ptr<ThetaSource> make_one_of(GumbelLaw& law, std::uint64_t seed);
/// theta = alpha, which lies on the simplex and starts uniform (GAEA, Li et al., ICLR 2021).
std::unique_ptr<Law> make_simplex_law(Alpha alpha);
/// Operations and, in the last column of alpha and theta, whole edges: each row's operations and
/// each node's edges are weighed by softmax (PC-DARTS), or where `simplex` by alpha itself
/// (GAEA + PC-DARTS). `node_of_edge`: the node that each edge enters; edges of one node are
/// adjacent. Read off by the product of both.
std::unique_ptr<Law> make_edge_weighted_law(Alpha alpha, const std::vector<int>& node_of_edge,
                                            bool simplex);

}  // namespace drnas
