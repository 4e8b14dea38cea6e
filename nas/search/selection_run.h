// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "data/batch_source.h"
#include "nas/options/search_options.h"
#include "nas/run/run_loop.h"
#include "nas/search/search_events.h"
#include "nas/search/selection.h"
#include "nas/step/supernet_trainer.h"

namespace drnas {

/// What a selection works on. All outlive it.
struct SelectionParts {
  const SearchOptions& options;
  SupernetTrainer& trainer;
  BatchSources& batches;
  const RunFolder& folder;
  SearchObserver& observer;
};

/// Takes the decisions of a selection that are left, each on the whole validation half, and between
/// rounds --select-tune epochs of weight steps at a tenth of --learning-rate. Each decision is a
/// line of selection.jsonl and a checkpoint.
class SelectionRun {
 public:
  SelectionRun(Selection& selection, const SelectionParts& parts);
  /// False where a signal came; the state is that of a checkpoint.
  bool run(RunLoop& loop);
  /// The last line, of the cell that was selected.
  void end(const std::string& json);

  /// Fine-tuning of the options, for the plan of memory too: without alpha, its cost and its part
  /// of the norm that clips.
  static TrainerOptions trainer_options(TrainerOptions options);
  /// Of --select, for the plan too.
  static SelectionPasses passes_of(const SearchOptions& options);

 private:
  std::int64_t tuning_steps() const {
    return parts_.options.select_tune * parts_.batches.train->batches();
  }
  /// Batches of all evaluations and steps up to a decision, or of all.
  std::int64_t work_before(int decision) const;
  bool tune(RunLoop& loop, Phase& phase);
  std::optional<SelectionProbe> evaluate(const EdgeWeights& theta, Phase& phase);
  /// The lines of the decisions that are done.
  void read_lines();
  void add_line(const std::string& json);

  Selection& selection_;
  SelectionParts parts_;
  PassSetting judging_;
  std::string lines_;
};

}  // namespace drnas
