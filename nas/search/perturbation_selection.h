// SPDX-License-Identifier: MIT
// Robust selection of a cell (DARTS-PT: Wang et al., ICLR 2021): the operation stays whose removal
// hurts the supernet's validation accuracy most.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nas/search/selection.h"

namespace drnas {

/// One decision: which operation an edge keeps, or which input edges a node.
struct SelectionDecision {
  int number = 1, of = 1;              ///< counted from 1
  std::string kind;                    ///< operation | inputs
  std::string place;                   ///< an edge ("normal 3<-1") or a node ("normal 3")
  std::vector<std::string> kept = {};  ///< an operation, or edges
  std::vector<SelectionProbe> probes = {};
};
/// One line of selection.jsonl, without the line end.
std::string to_json(const SelectionDecision& decision);
/// "edge normal 3<-1 keeps sep_conv_3x3: 41.25 % without it, 45.00 to 47.50 % without others".
std::string summary_of(const SelectionDecision& decision);

/// What is decided so far. In each round every kind of cell decides one edge, in an order drawn
/// from the seed; then nodes with more inputs than a found cell keeps choose theirs, also one a
/// round.
class PerturbationSelection final : public Selection {
 public:
  /// `theta`: the mixing weights that it starts from, 0 for pruned operations; where edges have
  /// weights, each row ends with its edge's. `space` outlives it.
  PerturbationSelection(const SearchSpace& space, bool none, EdgeWeights theta,
                        const std::vector<std::uint8_t>& kept, std::uint64_t seed);

  int decisions() const override { return static_cast<int>(plan_.size()); }
  int done() const override { return done_; }
  int rounds() const override { return plan_.empty() ? 0 : plan_.back().round + 1; }
  int round_of(int decision) const override {
    return plan_.at(static_cast<std::size_t>(decision)).round;
  }
  int evaluations(int decision) const override;
  std::int64_t view() const override { return done_; }
  EdgeWeights theta() const override;
  EdgeWeights found() const override;
  std::optional<SelectionLine> next(const Evaluate& evaluate) override;
  /// The next decision; nothing, and nothing changes, where an evaluation was interrupted.
  std::optional<SelectionDecision> decide(const Evaluate& evaluate);

  /// Under "select.".
  void archive(StateArchive& archive) override;

 private:
  /// Of a row of theta, or where `edge` is negative of a node.
  struct Step {
    int round, edge;
    std::vector<int> inputs;  // rows that lead to the node
    int keep;                 // of them
  };
  void add_rounds(std::uint64_t seed);
  /// Operations of a row that can be chosen and are not pruned.
  std::vector<int> candidates(int edge) const;
  std::optional<SelectionDecision> decide_operation(const Step& step, const Evaluate& evaluate);
  std::optional<SelectionDecision> decide_inputs(const Step& step, const Evaluate& evaluate);

  const SearchSpace& space_;
  std::vector<std::string> edges_, operations_;
  EdgeWeights start_;
  std::vector<std::uint8_t> kept_;  // as theta; empty: all
  bool none_can_stay_;
  std::vector<Step> plan_;
  int done_ = 0;
  std::vector<std::int64_t> chosen_;   // a row's operation + 1; 0: not decided
  std::vector<std::int64_t> dropped_;  // 1: the row leads to a node that chose others
};

}  // namespace drnas
