// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "nas/diagnostics/evidence.h"
#include "nas/method/search_method.h"
#include "nas/run/run_loop.h"
#include "nas/search/search_events.h"
#include "nas/search/search_inputs.h"
#include "nas/search/selection_run.h"
#include "nas/search/stages.h"

namespace drnas {

/// Milliseconds of the steps of an epoch.
struct StepTimes {
  double total = 0;
  PhaseMeans phases;

  void add(const StepResult& step);
  void enter(double steps, double& mean, PhaseMeans& means) const;
};

/// A search as the run loop sees it: what its step and its epoch are.
class SearchTask final : public RunTask {
 public:
  using Options = SearchOptions;
  using Inputs = SearchInputs;
  using Memory = SearchMemory;
  using Record = EpochRecord;
  using Result = SearchResult;

  /// All outlive it.
  SearchTask(const SearchOptions& options, const SearchInputs& inputs, const SearchMemory& memory,
             const RunFolder& folder, SearchObserver& observer, Device device);

  int epochs() const override { return options_.epochs; }
  std::int64_t steps() const override { return batches_.train->batches(); }
  const char* phase() const override { return "search"; }
  int images_a_step() const override { return options_.batch_size * (alpha_learns_ ? 2 : 1); }
  /// An evaluation costs about a fifth of an epoch's steps.
  double epoch_steps() const override { return 1.2 * static_cast<double>(steps()); }

  void begin() override;
  void resumed(const RunFolder& folder) override;
  void seek(const RunProgress& progress) override;
  void begin_epoch(RunProgress& progress) override;
  StepResult step(const RunProgress& progress) override;
  bool evaluate(RunLoop& loop, const RunProgress& progress) override;
  void log_epoch(RunLoop& loop, const EpochBasics& basics) override;
  bool ended() const override { return ending_.has_value(); }
  bool conclude(RunLoop& loop) override;
  bool untouched() const override { return trainer_->draws() == 0; }
  std::uint32_t data_checksum() const override { return inputs_.data_checksum(); }
  void archive(StateArchive& archive, RunProgress& progress) override;

  SearchResult result(const RunLoop& loop) const;

 private:
  FoundCell cell(const Architecture& found) const;
  /// By alpha: of the last good epoch, where --stop-on has ended the search.
  FoundCell argmax_cell() const;
  FoundCell selected_cell() const {
    return cell(space().derive(selection_->found(), options_.none_op));
  }
  const Stage& stage() const { return stages_[static_cast<std::size_t>(stage_ - 1)]; }
  const SearchSpace& space() const { return *first_memory_.network.space; }
  Architecture chosen() const { return method_->choose(space(), options_.none_op); }
  std::optional<TableAccuracy> table_entry(const Architecture& architecture) const;
  /// A network of the stage, with a trainer for it.
  void build(const SearchMemory& memory);
  /// The network of a stored stage, whose kept operations are given.
  void rebuild(const std::filesystem::path& file, std::int64_t epoch,
               const std::vector<std::int64_t>& kept);
  void enter_next_stage(RunProgress& progress);
  void archive_cost(StateArchive& archive) const;
  void archive_selection(StateArchive& archive);
  /// From the mixing weights that the method ended with.
  std::unique_ptr<Selection> make_selection() const;
  void tell_stage(const MemoryPeak& ended, const SearchMemory& memory);
  bool measure(RunLoop& loop, const RunProgress& progress);
  bool end_method_epoch(RunLoop& loop, const RunProgress& progress);
  /// Shows passes after an evaluation as a phase of their own, which begins with the first.
  std::function<bool(std::int64_t done, std::int64_t passes)> ticks(
      RunLoop& loop, const char* name, std::optional<Phase>& phase) const;
  /// Evidence, warnings, and whether they end the search.
  void enter_evidence(const RunLoop& loop, const Architecture& found, EpochRecord& record);

  const SearchOptions& options_;
  const SearchInputs& inputs_;
  const SearchMemory& first_memory_;  // of the first stage
  const RunFolder& folder_;
  SearchObserver& observer_;
  Device device_;
  std::vector<Stage> stages_;
  std::unique_ptr<SearchMethod> method_;
  std::unique_ptr<Supernet> supernet_;
  std::unique_ptr<SupernetTrainer> trainer_;
  BatchSources batches_;
  Evidence evidence_;

  std::int64_t stage_ = 1;  // whose network there is
  double learning_rate_ = 0;
  bool alpha_learns_ = false;            // in the current epoch
  std::int64_t alpha_steps_before_ = 0;  // of the current epoch's first step
  StepTimes architecture_times_, weight_times_;
  EpochTotals evaluated_;
  EvidenceRecord evidence_record_;  // of the epoch that is being finished
  double evaluation_seconds_ = 0;
  std::optional<Warning> ending_;         // that --stop-on acts on
  std::unique_ptr<Selection> selection_;  // of --select, once it has begun
  MemoryExtents extents_;                 // of the stage's plan
};

}  // namespace drnas
