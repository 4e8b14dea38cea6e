// SPDX-License-Identifier: MIT
// How a search may end: with a choice of its cell on the validation half, decision by decision.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/parameters/state_archive.h"
#include "nas/space/search_space.h"
#include "nas/step/pass.h"

namespace drnas {

/// How the supernet does at some mixing weights, on the validation half.
struct SelectionProbe {
  std::string removed;  ///< what they lack, where one thing was left out
  double top1 = 0, loss = 0;
};

/// What a decision leaves behind.
struct SelectionLine {
  std::string json;     ///< of selection.jsonl, without the line end
  std::string summary;  ///< for the user; empty: nothing to tell
};

/// The passes that a selection takes.
struct SelectionPasses {
  PassSetting judging;
  bool tuning = false;  ///< and weight steps between its rounds
};

/// The decisions of a selection so far.
class Selection {
 public:
  /// Validation of the supernet at these mixing weights; nothing where it was interrupted.
  using Evaluate = std::function<std::optional<SelectionProbe>(const EdgeWeights& theta)>;

  virtual ~Selection() = default;
  virtual int decisions() const = 0;
  virtual int done() const = 0;
  bool complete() const { return done() == decisions(); }
  /// Rounds, between which weights learn, and the one that a decision is in, counted from 0.
  virtual int rounds() const { return 1; }
  virtual int round_of(int /*decision*/) const { return 0; }
  /// Is the next decision the first of a later round?
  bool after_round() const {
    return done() > 0 && !complete() && round_of(done()) != round_of(done() - 1);
  }
  /// Evaluations that a decision takes.
  virtual int evaluations(int decision) const = 0;
  /// Those of the next decision see the images as this one, counted from 0, of the evaluations
  /// that the search could have gone on with.
  virtual std::int64_t view() const { return 0; }

  /// Mixing weights with what is decided: 1, or the weight of the edge, for its operation, 0 where
  /// an input was dropped.
  virtual EdgeWeights theta() const = 0;
  /// The same without weights of edges, to read a cell off.
  virtual EdgeWeights found() const = 0;
  /// Takes the next decision; nothing, and nothing changes, where an evaluation was interrupted.
  virtual std::optional<SelectionLine> next(const Evaluate& evaluate) = 0;
  virtual void archive(StateArchive& archive) = 0;

  std::int64_t tuned = 0;  ///< weight steps done before the next decision
};

}  // namespace drnas
