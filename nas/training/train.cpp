// SPDX-License-Identifier: MIT
#include "nas/training/train.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "engine/gpu.h"
#include "nas/run/event_observer.h"
#include "nas/run/run_directory.h"
#include "nas/run/run_loop.h"
#include "nas/run/run_resources.h"
#include "nas/run/signals.h"
#include "nas/training/train_inputs.h"
#include "nas/training/train_state.h"

namespace drnas {
namespace {

TestResult test_result(const EpochTotals& totals) {
  return {totals.mean_loss(), totals.top1_percent(), totals.top5_percent(), totals.images};
}

class Training {
 public:
  Training(const TrainOptions& options, const TrainInputs& inputs, const TrainMemory& memory,
           const RunDirectory& directory, TrainObserver& observer, Device device)
      : options_(options),
        memory_(memory),
        device_(device),
        directory_(directory),
        observer_(observer),
        network_(
            make_derived_network(derived_options(options, inputs.classes()), options.seed, device)),
        trainer_(*network_, network_trainer_options(options)),
        batches_(inputs.batch_sources(options, device, memory)) {}

  /// No step has been done: there is nothing to keep.
  bool untouched() const { return trainer_.steps() == 0; }

  void resume() {
    const std::filesystem::path path = directory_.checkpoint_path();
    if (!std::filesystem::exists(path)) {
      observer_.on_message("no checkpoint yet in " + directory_.path().string() +
                           ": starting from the beginning");
    } else {
      progress_ = load_training(path, directory_.configuration(), *network_);
      trainer_.set_steps(progress_.steps);
      if (progress_.epoch < options_.epochs)
        observer_.on_message("resuming at epoch " + std::to_string(progress_.epoch + 1) +
                             ", step " + std::to_string(progress_.step + 1));
    }
    directory_.truncate_log(static_cast<int>(progress_.epoch));
  }

  TrainResult run() {
    const Clock::time_point start = Clock::now();
    last_checkpoint_ = start;
    observer_.on_start({progress_.epoch, progress_.step, batches_.train->batches()});
    directory_.write_genotype(options_.genotype);
    batches_.train->seek(progress_.epoch * batches_.train->batches() + progress_.step);
    while (progress_.epoch < options_.epochs)
      if (!train_epoch() || !finish_epoch()) break;
    TrainResult result;
    result.test = progress_.test;
    result.best_top1 = progress_.best_top1;
    result.epochs_done = static_cast<int>(progress_.epoch);
    result.interrupted_by_signal = progress_.epoch < options_.epochs ? stop_signal() : 0;
    result.out = directory_.path();
    result.seconds = seconds_since(start);
    return result;
  }

 private:
  /// False when a signal stopped it; then the checkpoint is written.
  bool train_epoch() {
    trainer_.set_epoch(train_learning_rate(options_, progress_.epoch),
                       drop_path_probability(options_, progress_.epoch));
    const Clock::time_point start = Clock::now();
    const std::int64_t first_step = progress_.step;
    step_ms_ = 0;
    while (progress_.step < batches_.train->batches()) {
      if (stop_signal()) return checkpoint(), false;
      const double loss = step();
      report({"training", progress_.step, batches_.train->batches(), progress_.step - first_step,
              seconds_since(start), loss});
      if (seconds_since(last_checkpoint_) > 60.0 * options_.checkpoint_every) checkpoint();
    }
    steps_timed_ = progress_.step - first_step;
    train_seconds_ = seconds_since(start);
    return true;
  }

  /// Returns the loss of the batch.
  double step() {
    try {
      const StepResult result = trainer_.train(batches_.train->next());
      step_ms_ += result.total_ms;
      progress_.train.add(result);
      ++progress_.step;
      return result.loss;
    } catch (const Error& error) {
      if (untouched()) throw NothingDone(error.what());
      const bool kept = checkpoint_after_failure([&] { checkpoint(); });
      throw Error(failed_step(progress_.epoch, progress_.step, error.what(), kept,
                              directory_.checkpoint_path()));
    }
  }

  /// Tests, logs, exports, checkpoints, and goes to the next epoch. False when a signal came during
  /// the evaluation, which then starts again.
  bool finish_epoch() {
    EpochTotals totals;
    const Clock::time_point start = Clock::now();
    batches_.evaluation->seek(0);
    for (std::int64_t batch = 0; batch < batches_.evaluation->batches(); ++batch) {
      if (stop_signal()) return checkpoint(), false;
      totals.add(trainer_.evaluate(batches_.evaluation->next()));
      report({"evaluation", batch + 1, batches_.evaluation->batches(), batch + 1,
              seconds_since(start)});
    }
    epoch_seconds_ = train_seconds_ + seconds_since(start);
    progress_.memory.update(Allocator::of(device_).counters());
    progress_.test = test_result(totals);
    progress_.best_top1 = std::max(progress_.best_top1, progress_.test.top1);
    const TrainEpoch record = make_record();
    directory_.append_log(record);
    save_weights(directory_.weights_path(), directory_.configuration(), *network_);
    observer_.on_epoch(record);
    ++progress_.epoch;
    progress_.step = 0;
    progress_.train = {};
    checkpoint();
    return true;
  }

  void report(const PhaseTimes& t) {
    // Until an epoch has been timed: a test image costs about a third of a training image.
    const double steps = static_cast<double>(batches_.train->batches()) +
                         static_cast<double>(batches_.evaluation->batches()) / 3;
    const double epoch_seconds =
        epoch_seconds_ > 0 ? epoch_seconds_ : t.seconds / static_cast<double>(t.timed) * steps;
    observer_.on_step(
        step_progress(t, progress_.epoch, options_.epochs, options_.batch_size, epoch_seconds));
  }

  TrainEpoch make_record() const {
    TrainEpoch r;
    r.epoch = static_cast<int>(progress_.epoch) + 1;
    r.epochs = options_.epochs;
    r.learning_rate = train_learning_rate(options_, progress_.epoch);
    r.drop_path = drop_path_probability(options_, progress_.epoch);
    r.train_loss = progress_.train.mean_loss();
    r.train_top1 = progress_.train.top1_percent();
    r.test_loss = progress_.test.loss;
    r.test_top1 = progress_.test.top1;
    r.test_top5 = progress_.test.top5;
    const double timed = static_cast<double>(std::max<std::int64_t>(1, steps_timed_));
    r.step_ms = step_ms_ / timed;
    r.images_per_second = timed * options_.batch_size / std::max(train_seconds_, 1e-9);
    enter_memory(progress_.memory, r);
    r.pinned_bytes = memory_.pinned_bytes();
    return r;
  }

  void checkpoint() {
    progress_.steps = trainer_.steps();
    progress_.memory.update(Allocator::of(device_).counters());
    save_training(directory_.checkpoint_path(), directory_.configuration(), progress_, *network_);
    last_checkpoint_ = Clock::now();
  }

  const TrainOptions& options_;
  const TrainMemory& memory_;
  Device device_;
  const RunDirectory& directory_;
  TrainObserver& observer_;
  std::unique_ptr<DerivedNetwork> network_;
  NetworkTrainer trainer_;
  BatchSources batches_;
  TrainProgress progress_;
  Clock::time_point last_checkpoint_;
  double step_ms_ = 0, train_seconds_ = 0, epoch_seconds_ = 0;
  std::int64_t steps_timed_ = 0;
};

}  // namespace

TrainResult run_training(const TrainOptions& options, TrainObserver& observer) {
  options.validate();
  std::string note;
  const Device device = choose_device(options.device, note);
  const TrainInputs inputs(options, true);
  apply_precision(options, device);
  const TrainMemory memory = inputs.plan(options, device);
  const RunResources resources(device, options.threads, options.memory_limit);
  const RunDirectory directory = RunDirectory::open(options);
  const std::string broken = directory.begin_session(options, device);
  for (const std::string& line : {note, memory.note, broken})
    if (!line.empty()) observer.on_message(line);
  try {
    std::optional<EventObserver<TrainEpoch>> events;
    if (options.tensorboard) events.emplace(observer, directory.events_path());
    TrainObserver& told = events ? *events : observer;
    Training training(options, inputs, memory, directory, told, device);
    if (options.resume) training.resume();
    return training.run();
  } catch (const NothingDone& failure) {
    // Leave no folder that would stand in the way of the next try.
    if (!options.resume) std::filesystem::remove_all(directory.path());
    throw Error(failure.what());
  }
}

TrainOptions stored_train_options(const std::filesystem::path& file) {
  return resolve_train_options(
      parse_config(stored_configuration(file), file.string(), config_keys<TrainOptions>()), {});
}

TestResult evaluate_training(const TrainOptions& options, TrainObserver& observer) {
  options.validate();
  std::string note;
  const Device device = choose_device(options.device, note);
  if (!note.empty()) observer.on_message(note);
  const TrainInputs inputs(options, true);
  apply_precision(options, device);
  const RunResources resources(device, options.threads, options.memory_limit);
  const auto network =
      make_derived_network(derived_options(options, inputs.classes()), options.seed, device);
  load_network(options.evaluate, *network);
  NetworkTrainer trainer(*network, network_trainer_options(options));
  const BatchSources batches = inputs.batch_sources(options, device, {});
  EpochTotals totals;
  const Clock::time_point start = Clock::now();
  for (std::int64_t done = 1; done <= batches.evaluation->batches(); ++done) {
    totals.add(trainer.evaluate(batches.evaluation->next()));
    observer.on_step(step_progress(
        {"evaluation", done, batches.evaluation->batches(), done, seconds_since(start)}, 0, 1,
        options.batch_size, 0));
  }
  return test_result(totals);
}

}  // namespace drnas
