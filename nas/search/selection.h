// SPDX-License-Identifier: MIT
// Robust selection of a cell (DARTS-PT: Wang et al., ICLR 2021): the operation stays whose removal
// hurts the supernet's validation accuracy most.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/parameters/state_archive.h"
#include "nas/space/search_space.h"

namespace drnas {

/// How the supernet does with one thing removed, on the validation half.
struct SelectionProbe {
  std::string removed;
  double top1 = 0, loss = 0;
};

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
class Selection {
 public:
  /// Validation of the supernet at these mixing weights; nothing where it was interrupted.
  using Evaluate = std::function<std::optional<SelectionProbe>(const EdgeWeights& theta)>;

  /// `theta`: the mixing weights that it starts from, 0 for pruned operations; where edges have
  /// weights, each row ends with its edge's. `space` outlives it.
  Selection(const SearchSpace& space, bool none, EdgeWeights theta,
            const std::vector<std::uint8_t>& kept, std::uint64_t seed);

  int decisions() const { return static_cast<int>(plan_.size()); }
  int done() const { return done_; }
  bool complete() const { return done_ == decisions(); }
  /// Rounds, and the one that a decision is in, counted from 0.
  int rounds() const { return plan_.empty() ? 0 : plan_.back().round + 1; }
  int round_of(int decision) const { return plan_.at(static_cast<std::size_t>(decision)).round; }
  /// Is the next decision the first of a later round, before which weights learn?
  bool after_round() const {
    return done_ > 0 && !complete() && round_of(done_) != round_of(done_ - 1);
  }
  /// Evaluations that a decision takes.
  int evaluations(int decision) const;

  /// Mixing weights with what is decided: 1, or the weight of the edge, for its operation, 0 where
  /// an input was dropped.
  EdgeWeights theta() const;
  /// The same without weights of edges, to read a cell off.
  EdgeWeights found() const;
  /// The next decision; nothing, and nothing changes, where an evaluation was interrupted.
  std::optional<SelectionDecision> decide(const Evaluate& evaluate);

  /// Under "select.".
  void archive(StateArchive& archive);

  std::int64_t tuned = 0;  ///< weight steps done before the next decision

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
