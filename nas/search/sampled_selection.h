// SPDX-License-Identifier: MIT
// The best of sampled cells, as one-shot searches end (SETN: Dong and Yang, ICCV 2019).
#pragma once

#include <vector>

#include "nas/search/selection.h"

namespace drnas {

/// Cells drawn from the distribution that a search ended with. Each is judged by itself on the
/// supernet, all on the same images; of equal accuracies the lower loss wins, then the earlier
/// draw. A cell that was drawn before is not judged again.
class SampledSelection final : public Selection {
 public:
  /// `theta`: the mean mixing weights of each edge, 0 for pruned operations; where edges have
  /// weights, each row ends with its edge's. `space` outlives it.
  SampledSelection(const SearchSpace& space, bool none, EdgeWeights theta, int cells,
                   std::uint64_t seed);

  /// Weights to read cell `number` off (0 is the first): entries are theta / E, E ~ Exp(1), each
  /// row scaled to the sum of theta's. The largest of a row is operation o with probability
  /// theta_o over that sum.
  static EdgeWeights draw(const EdgeWeights& theta, std::uint64_t seed, int number);

  int decisions() const override { return static_cast<int>(cells_.size()); }
  int done() const override { return done_; }
  int evaluations(int cell) const override;
  EdgeWeights theta() const override { return theta_of(best()); }
  EdgeWeights found() const override { return rows_of(best()); }
  std::optional<SelectionLine> next(const Evaluate& evaluate) override;
  /// Under "sampled.".
  void archive(StateArchive& archive) override;

 private:
  const Architecture& best() const { return cells_.at(static_cast<std::size_t>(best_)); }
  /// With 1, or the weight of the edge, at the operations of a cell, 0 elsewhere.
  EdgeWeights theta_of(const Architecture& cell) const;
  /// The same without weights of edges.
  EdgeWeights rows_of(const Architecture& cell) const;

  const SearchSpace& space_;
  bool none_;
  EdgeWeights start_;
  std::size_t operations_;
  std::vector<Architecture> cells_;
  std::vector<int> first_;  // the first draw of the same cell
  int done_ = 0, best_ = 0;
  double top1_ = 0, loss_ = 0;  // of the best
};

}  // namespace drnas
