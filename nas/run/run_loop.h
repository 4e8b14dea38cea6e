// SPDX-License-Identifier: MIT
// The one loop of all runs: epochs of steps, evaluations, checkpoints, signals, failures, progress.
#pragma once

#include <cstdint>
#include <string>

#include "engine/parameters/state_archive.h"
#include "nas/run/observer.h"
#include "nas/run/run_folder.h"
#include "nas/run/run_resources.h"
#include "nas/step/step_result.h"

namespace drnas {

/// Where a run stands, of what every run has. Loader positions and random counters follow from it
/// and from what a task adds.
struct RunProgress {
  std::int64_t epoch = 0;  ///< current epoch
  std::int64_t step = 0;   ///< steps done in it
  EpochTotals train;       ///< of its training batches
  MemoryPeak memory;       ///< of the run, or of its stage, so far

  /// Saves or loads all of it, under "progress.".
  void archive(StateArchive& archive);
};

class RunLoop;

/// What a run does: a search or a training. RunLoop calls it.
class RunTask {
 public:
  virtual ~RunTask() = default;
  /// Epochs of the run.
  virtual int epochs() const = 0;
  /// Steps of an epoch.
  virtual std::int64_t steps() const = 0;
  /// What a step is called in progress lines: "search", "training".
  virtual const char* phase() const = 0;
  /// Training images of a step.
  virtual int images_a_step() const = 0;
  /// What an epoch costs with all that comes after its steps, in steps: until one has been timed.
  virtual double epoch_steps() const = 0;

  /// Moves the batches to where the run begins or goes on.
  virtual void seek(const RunProgress& progress) = 0;
  /// Makes the state of a run that begins.
  virtual void begin() = 0;
  /// After archive() has loaded a state and the folder's log has been cut back to it.
  virtual void resumed(const RunFolder& /*folder*/) {}
  /// Before the first step, and again where an epoch goes on. May change the network (a new stage),
  /// and then starts progress.memory anew.
  virtual void begin_epoch(RunProgress& progress) = 0;
  /// One step. Throws Error where a loss or a gradient is not finite; then nothing has changed but
  /// what a repeated call knows how to continue.
  virtual StepResult step(const RunProgress& progress) = 0;
  /// Evaluates what the epoch gave. False where a signal came meanwhile; then nothing has changed.
  virtual bool evaluate(RunLoop& loop, const RunProgress& progress) = 0;
  /// Logs the epoch, whose basics are given.
  virtual void log_epoch(RunLoop& loop, const EpochBasics& basics) = 0;
  /// The run is to end here, whatever epochs are left.
  virtual bool ended() const { return false; }
  /// What comes after the last epoch. False where a signal came meanwhile: checkpoints hold how far
  /// it is.
  virtual bool conclude(RunLoop& /*loop*/) { return true; }
  /// The first step has done nothing that a checkpoint would have to keep.
  virtual bool untouched() const = 0;

  /// Of all images that the run sees and how they are split: to tell whether a session goes on with
  /// the data of the one before.
  virtual std::uint32_t data_checksum() const = 0;
  /// All other state, saved or loaded; when loading also makes the network that the file holds.
  virtual void archive(StateArchive& archive, RunProgress& progress) = 0;
};

/// Steps of one phase of an epoch, which the observer is told of:
///   for (Phase phase(loop, "evaluation", images, n); phase.next();) { ...; phase.done(); }
class Phase {
 public:
  /// images: of a step; `first` of `steps` have been done by an earlier session. `loop` outlives
  /// it.
  Phase(RunLoop& loop, const char* name, int images, std::int64_t steps, std::int64_t first = 0);
  /// False where all steps are done, or a signal has come.
  bool next() const;
  /// One more step is done; loss: of its training batch, if it is of one.
  void done(double loss = std::numeric_limits<double>::quiet_NaN());
  /// All steps up to number `step` are done.
  void reach(std::int64_t step);
  bool complete() const { return step_ == steps_; }
  double seconds() const { return watch_.seconds(); }
  std::int64_t timed() const { return step_ - first_; }

 private:
  friend RunLoop;
  RunLoop& loop_;
  const char* name_;
  int images_;
  std::int64_t steps_, first_, step_;
  Stopwatch watch_;
};

/// Runs the epochs of a task: steps, evaluation, a line of the log, a checkpoint.
class RunLoop {
 public:
  /// All outlive it. checkpoint_every: longest time between checkpoints, minutes.
  RunLoop(RunTask& task, const RunFolder& folder, ProgressObserver& observer, Device device,
          double checkpoint_every);

  /// A new run.
  void begin() { task_.begin(); }
  /// Goes on where the folder's checkpoint stands, if there is one, and cuts its log back to it.
  void resume();
  /// To the end, or until a signal or the task ends it; writes a checkpoint after each epoch and
  /// when it stops or a step fails, but not where nothing has been done yet.
  void run();

  const RunProgress& progress() const { return progress_; }
  /// Epochs that were finished, those of earlier sessions included.
  int epochs_done() const { return static_cast<int>(progress_.epoch); }
  /// All state as it is now, for what conclude() does.
  void checkpoint();
  /// The signal that stopped the run; 0: none.
  int stopped_by_signal() const;
  /// Of this session.
  double seconds() const { return watch_.seconds(); }

  const RunFolder& folder() const { return folder_; }
  ProgressObserver& observer() { return observer_; }
  /// Of the current epoch's steps: how many this process timed, and their seconds.
  std::int64_t steps_timed() const { return steps_timed_; }
  double train_seconds() const { return train_seconds_; }

 private:
  friend Phase;
  /// Saves the checksum of the data, or throws Error where the archive's is another.
  void archive_data(StateArchive& archive) const;
  /// Throws Error naming the checkpoint where it stands at no epoch or step of the run.
  void require_in_range(const std::filesystem::path& file) const;
  bool train_epoch();
  bool finish_epoch();
  StepResult guarded_step();
  EpochBasics basics() const;
  /// Tells the observer where a phase stands.
  void tell(const Phase& phase, double loss);

  RunTask& task_;
  const RunFolder& folder_;
  ProgressObserver& observer_;
  Device device_;
  double checkpoint_every_;
  std::uint32_t data_checksum_;
  RunProgress progress_;
  Stopwatch watch_, since_checkpoint_;
  std::int64_t steps_timed_ = 0;
  double train_seconds_ = 0, epoch_seconds_ = 0;
  bool concluded_ = true;
};

/// "61.56 MiB, weights 365.25 KiB, activations 55.50 MiB": what is there at the peak.
std::string peak_text(const MemoryPeak& peak);

}  // namespace drnas
