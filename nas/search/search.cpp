// SPDX-License-Identifier: MIT
#include "nas/search/search.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "engine/gpu.h"
#include "engine/parameters/widening.h"
#include "nas/diagnostics/evidence.h"
#include "nas/run/event_observer.h"
#include "nas/run/run_directory.h"
#include "nas/run/run_loop.h"
#include "nas/run/run_resources.h"
#include "nas/run/signals.h"
#include "nas/search/search_inputs.h"
#include "nas/search/search_state.h"
#include "nas/space/search_space.h"

namespace drnas {
namespace {

/// Milliseconds of the steps of an epoch.
struct StepTimes {
  double total = 0;
  PhaseMeans phases;

  void add(const StepResult& step) {
    total += step.total_ms;
    phases.forward += step.forward_ms;
    phases.backward += step.backward_ms;
    phases.optimizer += step.optimizer_ms;
  }
  void enter(double steps, double& mean, PhaseMeans& means) const {
    mean = total / steps;
    means = {phases.forward / steps, phases.backward / steps, phases.optimizer / steps};
  }
};

class Search {
 public:
  Search(const SearchOptions& options, const SearchInputs& inputs, const SearchMemory& memory,
         const RunDirectory& directory, SearchObserver& observer, Device device)
      : options_(options),
        inputs_(inputs),
        first_memory_(memory),
        device_(device),
        directory_(directory),
        observer_(observer),
        theta_(theta_shape(*memory.network.space, memory.network.none)),
        stages_(stages_of(options, theta_.columns)),
        evidence_(options, *memory.network.space, inputs.table ? &*inputs.table : nullptr) {
    distribution_ = make_distribution(
        options.method, {theta_.rows, theta_.columns, options.seed, device}, options.seed);
    batches_ = inputs.batch_sources(options, device, memory);
  }

  /// No step has been done: there is nothing to keep.
  bool untouched() const { return progress_.draws == 0 && trainer_->draws() == 0; }

  void begin() { build(first_memory_.network); }

  void resume() {
    const std::filesystem::path path = directory_.checkpoint_path();
    if (!std::filesystem::exists(path)) {
      begin();
      observer_.on_message("no checkpoint yet in " + directory_.path().string() +
                           ": starting from the beginning");
    } else {
      resume_stage(stored_stage(path, stages_));
      progress_ = load_search(path, directory_.configuration(), *supernet_, *distribution_);
      trainer_->set_draws(progress_.draws);
      observer_.on_message("resuming at epoch " + std::to_string(progress_.epoch + 1) + ", step " +
                           std::to_string(progress_.step + 1));
    }
    directory_.truncate_log(static_cast<int>(progress_.epoch));
    evidence_.recall(directory_.log_path());
  }

  SearchResult run() {
    const Clock::time_point start = Clock::now();
    last_checkpoint_ = start;
    observer_.on_start({progress_.epoch, progress_.step, batches_.train->batches()});
    batches_.train->seek(progress_.epoch * batches_.train->batches() + progress_.step);
    batches_.alpha->seek(progress_.architecture_steps);
    while (progress_.epoch < options_.epochs) {
      if (stage_at(stages_, progress_.epoch).number > progress_.stage) enter_next_stage();
      if (!train_epoch() || !finish_epoch() || ending_) break;
    }
    SearchResult result;
    const Architecture found =
        ending_ ? space().parse(ending_->good_genotype, "genotype") : chosen();
    result.genotype = found.genotype;
    directory_.write_genotype(result.genotype);
    result.table = table_entry(found);
    result.epochs_done = static_cast<int>(progress_.epoch);
    result.genotype_epoch = ending_ ? ending_->good_epoch : result.epochs_done;
    if (ending_) result.stopped_on = to_string(ending_->alarm);
    result.interrupted_by_signal = stop_signal();
    result.out = directory_.path();
    result.seconds = seconds_since(start);
    return result;
  }

 private:
  const Stage& stage() const { return stages_[static_cast<std::size_t>(progress_.stage - 1)]; }
  const SearchSpace& space() const { return *first_memory_.network.space; }
  Architecture chosen() const {
    return space().derive(distribution_->ranked_by(architecture_ranking(options_)),
                          options_.none_op);
  }
  std::optional<TableAccuracy> table_entry(const Architecture& a) const {
    if (!inputs_.table || !a.number) return {};
    return inputs_.table->at(*a.number);
  }

  void build(const SupernetOptions& network) {
    supernet_ = make_supernet(network, options_.seed, device_);
    trainer_ = std::make_unique<Trainer>(*supernet_, *distribution_, trainer_options(options_));
  }

  /// The network that a checkpoint holds.
  void resume_stage(const StoredStage& stored) {
    if (stored.stage == 1) return begin();
    distribution_->parameters().prune(stored.kept);
    const Stage& stage = stages_[static_cast<std::size_t>(stored.stage - 1)];
    build(inputs_.plan_stage(options_, device_, first_memory_, stage, stored.kept).network);
  }

  /// Prunes each edge to the operations with the largest alpha and widens what they see.
  void enter_next_stage() {
    const MemoryPeak ended = progress_.memory;
    const std::vector<std::uint8_t> before = supernet_->options().kept;
    ++progress_.stage;
    const std::vector<std::uint8_t> kept =
        keep_largest(distribution_->alpha(), before, stage().keep_ops);
    const StoredParameters old(supernet_->parameters());
    const std::uint32_t draws = trainer_->draws();
    trainer_.reset();
    supernet_.reset();
    const SearchMemory memory = inputs_.plan_stage(options_, device_, first_memory_, stage(), kept);
    Allocator::of(device_).reset_peak();
    distribution_->parameters().prune(kept);
    build(memory.network);
    widen(old, supernet_->parameters(), options_.seed, static_cast<std::uint32_t>(progress_.stage));
    trainer_->set_draws(draws);
    progress_.memory = {};
    observer_.on_message("stage " + std::to_string(progress_.stage - 1) + ": peak " +
                         peak_text(ended));
    const int cells = memory.network.rebuild_cells;
    observer_.on_message(
        "stage " + std::to_string(progress_.stage) + ": K " +
        std::to_string(stage().partial_channels) + ", " + std::to_string(stage().keep_ops) +
        " operations an edge, " + std::to_string(supernet_->parameters().count()) +
        " parameters, planned peak " + format_bytes(memory.peak_bytes) + " of " +
        format_bytes(first_memory_.peak_bytes) +
        (cells ? ", raw outputs of " + std::to_string(cells) + " cells rebuilt" : ""));
  }

  /// The search step: alpha on a validation batch, then the weights on a training batch.
  /// Returns the loss of the training batch.
  double step(double learning_rate) {
    const std::int64_t done =
        alpha_epochs_before(options_, stages_, progress_.epoch) * batches_.train->batches() +
        progress_.step;
    // Already done where a run stopped between the two halves of a step.
    if (alpha_learns() && progress_.architecture_steps <= done) {
      architecture_times_.add(trainer_->architecture_step(batches_.alpha->next()));
      ++progress_.architecture_steps;
    }
    const StepResult result = trainer_->weight_step(batches_.train->next(), learning_rate);
    weight_times_.add(result);
    progress_.train.add(result);
    ++progress_.step;
    return result.loss;
  }

  /// False when a signal stopped it; then the checkpoint is written.
  bool train_epoch() {
    const double learning_rate = epoch_learning_rate();
    const Clock::time_point start = Clock::now();
    architecture_times_ = weight_times_ = {};
    const std::int64_t first_step = progress_.step;
    while (progress_.step < batches_.train->batches()) {
      if (stop_signal()) return checkpoint(), false;
      double loss = 0;
      try {
        loss = step(learning_rate);
      } catch (const Error& error) {
        if (untouched()) throw NothingDone(error.what());
        const bool kept = checkpoint_after_failure([&] { checkpoint(); });
        throw Error(failed_step(progress_.epoch, progress_.step, error.what(), kept,
                                directory_.checkpoint_path()));
      }
      report({"search", progress_.step, batches_.train->batches(), progress_.step - first_step,
              seconds_since(start), loss});
      if (seconds_since(last_checkpoint_) > 60.0 * options_.checkpoint_every) checkpoint();
    }
    steps_timed_ = progress_.step - first_step;
    train_seconds_ = seconds_since(start);
    return true;
  }

  /// Evaluates, logs, checkpoints, and goes to the next epoch. False when a signal came meanwhile.
  bool finish_epoch() {
    progress_.draws = trainer_->draws();
    EpochTotals totals;
    EpochRecord record;
    const Clock::time_point start = Clock::now();
    if (!evaluate(totals) || !measure(seconds_since(start), record)) {
      trainer_->set_draws(progress_.draws);  // the evaluation will start again
      return checkpoint(), false;
    }
    epoch_seconds_ = train_seconds_ + seconds_since(start);
    progress_.memory.update(Allocator::of(device_).counters());
    complete(totals, record);
    ending_ = evidence_.judge(record);
    directory_.append_log(record);
    directory_.write_genotype(record.genotype);
    observer_.on_epoch(record);
    for (const std::string& warning : record.warnings)
      observer_.on_message("warning, epoch " + std::to_string(record.epoch) + ": " + warning);
    ++progress_.epoch;
    progress_.step = 0;
    progress_.train = {};
    checkpoint();
    return true;
  }

  bool evaluate(EpochTotals& totals) {
    const Clock::time_point start = Clock::now();
    batches_.evaluation->seek(progress_.epoch * batches_.evaluation->batches());
    for (std::int64_t batch = 0; batch < batches_.evaluation->batches(); ++batch) {
      if (stop_signal()) return false;
      totals.add(trainer_->evaluate(batches_.evaluation->next()));
      report({"evaluation", batch + 1, batches_.evaluation->batches(), batch + 1,
              seconds_since(start)});
    }
    return true;
  }

  bool measure(double evaluation_seconds, EpochRecord& record) {
    record.seconds = {{"train", train_seconds_}, {"evaluation", evaluation_seconds}};
    const Clock::time_point start = Clock::now();
    const auto tick = [&](std::int64_t done, std::int64_t passes) {
      report({"Hessian", done, passes, done, seconds_since(start)});
      return stop_signal() == 0;
    };
    return evidence_.measure(progress_.epoch, *trainer_, *distribution_, *batches_.evaluation, tick,
                             record);
  }

  void report(const PhaseTimes& t) {
    // Until an epoch has been timed: an evaluation costs about a fifth of an epoch's steps.
    const double steps = static_cast<double>(batches_.train->batches());
    const double epoch_seconds = epoch_seconds_ > 0
                                     ? epoch_seconds_
                                     : 1.2 * t.seconds / static_cast<double>(t.timed) * steps;
    const bool both_halves = t.phase == std::string_view("search") && alpha_learns();
    observer_.on_step(step_progress(t, progress_.epoch, options_.epochs,
                                    options_.batch_size * (both_halves ? 2 : 1), epoch_seconds));
  }

  double epoch_learning_rate() const {
    return weight_learning_rate(options_, stage(), progress_.epoch);
  }
  bool alpha_learns() const { return drnas::alpha_learns(options_, stage(), progress_.epoch); }

  void complete(const EpochTotals& evaluated, EpochRecord& r) const {
    const Architecture found = chosen();
    r.epoch = static_cast<int>(progress_.epoch) + 1;
    r.epochs = options_.epochs;
    r.learning_rate = epoch_learning_rate();
    r.train_loss = progress_.train.mean_loss();
    r.train_top1 = progress_.train.top1_percent();
    r.val_loss = evaluated.mean_loss();
    r.val_top1 = evaluated.top1_percent();
    r.stage = static_cast<int>(progress_.stage);
    r.genotype = found.genotype;
    r.table = table_entry(found);
    r.concentrations = distribution_->concentrations();
    const std::vector<std::uint8_t>& kept = supernet_->options().kept;
    for (auto row = kept.begin(); row != kept.end(); row += theta_.columns)
      r.kept.emplace_back(row, row + theta_.columns);
    const double timed = static_cast<double>(std::max<std::int64_t>(1, steps_timed_));
    architecture_times_.enter(timed, r.architecture_step_ms, r.architecture_phases);
    weight_times_.enter(timed, r.weight_step_ms, r.weight_phases);
    const int halves = alpha_learns() ? 2 : 1;
    r.images_per_second = timed * halves * options_.batch_size / std::max(train_seconds_, 1e-9);
    enter_memory(progress_.memory, r);
    r.pinned_bytes = first_memory_.pinned_bytes();
  }

  void checkpoint() {
    progress_.draws = trainer_->draws();
    progress_.memory.update(Allocator::of(device_).counters());
    save_search(directory_.checkpoint_path(), directory_.configuration(), progress_, *supernet_,
                *distribution_);
    last_checkpoint_ = Clock::now();
  }

  const SearchOptions& options_;
  const SearchInputs& inputs_;
  const SearchMemory& first_memory_;  // of the first stage
  Device device_;
  const RunDirectory& directory_;
  SearchObserver& observer_;
  ThetaShape theta_;
  std::vector<Stage> stages_;
  std::unique_ptr<MixingDistribution> distribution_;
  std::unique_ptr<Supernet> supernet_;
  std::unique_ptr<Trainer> trainer_;
  BatchSources batches_;
  SearchProgress progress_;
  Clock::time_point last_checkpoint_;
  Evidence evidence_;
  std::optional<Warning> ending_;  // that --stop-on acts on
  StepTimes architecture_times_, weight_times_;
  double train_seconds_ = 0, epoch_seconds_ = 0;
  std::int64_t steps_timed_ = 0;
};

}  // namespace

SearchResult run_search(const SearchOptions& options, SearchObserver& observer) {
  options.validate();
  std::string note;
  const Device device = choose_device(options.device, note);
  const SearchInputs inputs(options, true);
  apply_precision(options, device);
  const SearchMemory memory = inputs.plan(options, device);
  const RunResources resources(device, options.threads, options.memory_limit);
  const RunDirectory directory = RunDirectory::open(options);
  const std::string broken = directory.begin_session(options, device);
  for (const std::string& line : {note, memory.note, broken})
    if (!line.empty()) observer.on_message(line);
  try {
    std::optional<EventObserver<EpochRecord>> events;
    if (options.tensorboard) events.emplace(observer, directory.events_path());
    SearchObserver& told = events ? *events : observer;
    Search search(options, inputs, memory, directory, told, device);
    if (options.resume)
      search.resume();
    else
      search.begin();
    return search.run();
  } catch (const NothingDone& failure) {
    // A network whose first loss is not finite, say: leave no folder that would stand in the way of
    // the next try.
    if (!options.resume) std::filesystem::remove_all(directory.path());
    throw Error(failure.what());
  }
}

}  // namespace drnas
