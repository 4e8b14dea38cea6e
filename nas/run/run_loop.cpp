// SPDX-License-Identifier: MIT
#include "nas/run/run_loop.h"

#include <algorithm>

#include "nas/run/signals.h"

namespace drnas {
namespace {

/// Calls `checkpoint`; false where it fails: a device that has failed may not give its state any
/// more, then the last checkpoint stays.
template <class Checkpoint>
bool checkpoint_after_failure(const Checkpoint& checkpoint) {
  try {
    checkpoint();
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// The message of a step that failed; `kept`: the checkpoint is of the state before it.
std::string failed_step(const RunProgress& progress, const std::string& what, bool kept,
                        const std::filesystem::path& checkpoint) {
  return "epoch " + std::to_string(progress.epoch + 1) + ", step " +
         std::to_string(progress.step + 1) + ", " + what +
         (kept ? "; the state before this step is in " : "; an older state is in ") +
         checkpoint.string();
}

}  // namespace

void RunProgress::archive(StateArchive& a) {
  a.value("progress.epoch", epoch);
  a.value("progress.step", step);
  a.value("progress.train.loss", train.loss);
  a.value("progress.train.images", train.images);
  a.value("progress.train.top1", train.top1);
  a.value("progress.train.top5", train.top5);
  a.value("progress.peak", memory.total);
  for (int tag = 0; tag < memory_tag_count; ++tag)
    a.value(std::string("progress.peak.") + to_string(static_cast<MemoryTag>(tag)),
            memory.by_tag[static_cast<std::size_t>(tag)]);
}

Phase::Phase(RunLoop& loop, const char* name, int images, std::int64_t steps, std::int64_t first)
    : loop_(loop), name_(name), images_(images), steps_(steps), first_(first), step_(first) {}

bool Phase::next() const { return step_ < steps_ && !stop_signal(); }

void Phase::done(double loss) {
  ++step_;
  loop_.tell(*this, loss);
}

void Phase::reach(std::int64_t step) {
  step_ = step - 1;
  done();
}

RunLoop::RunLoop(RunTask& task, const RunFolder& folder, ProgressObserver& observer, Device device,
                 double checkpoint_every)
    : task_(task),
      folder_(folder),
      observer_(observer),
      device_(device),
      checkpoint_every_(checkpoint_every),
      data_checksum_(task.data_checksum()) {}

void RunLoop::resume() {
  const std::filesystem::path path = folder_.checkpoint_path();
  if (!std::filesystem::exists(path)) {
    // An epoch is logged just before its checkpoint is written: one may stand alone.
    if (const std::int64_t logged = folder_.logged_epochs(); logged > 1)
      throw Error(path.string() + ": is missing, but log.jsonl holds " + std::to_string(logged) +
                  " epochs; expected it, or another --out");
    begin();
    observer_.on_message("no checkpoint yet in " + folder_.path().string() +
                         ": starting from the beginning");
  } else {
    StateArchive archive(path, {task_.phase(), folder_.configuration()});
    archive_data(archive);
    task_.archive(archive, progress_);
    require_in_range(path);
    if (progress_.epoch < task_.epochs())
      observer_.on_message("resuming at epoch " + std::to_string(progress_.epoch + 1) + ", step " +
                           std::to_string(progress_.step + 1));
  }
  folder_.truncate_log(epochs_done());
  task_.resumed(folder_);
}

void RunLoop::archive_data(StateArchive& archive) const {
  std::uint32_t sum = data_checksum_;
  archive.value("data.checksum", sum);
  if (sum != data_checksum_)
    throw Error(archive.path().string() + ": belongs to other images than those that were read, " +
                "expected the data that the run was started with (--data may name another place)");
}

void RunLoop::require_in_range(const std::filesystem::path& file) const {
  const bool ended = progress_.epoch == task_.epochs() && progress_.step == 0;
  if (ended || (progress_.epoch < task_.epochs() && progress_.step <= task_.steps())) return;
  throw Error(file.string() + ": stands at epoch " + std::to_string(progress_.epoch) + ", step " +
              std::to_string(progress_.step) + ", expected at most " +
              std::to_string(task_.epochs()) + " epochs of " + std::to_string(task_.steps()) +
              " steps");
}

void RunLoop::run() {
  watch_ = since_checkpoint_ = Stopwatch();
  observer_.on_start({progress_.epoch, progress_.step, task_.steps()});
  task_.seek(progress_);
  while (progress_.epoch < task_.epochs() && !task_.ended()) {
    task_.begin_epoch(progress_);
    const bool finished = train_epoch() && finish_epoch();
    checkpoint();
    if (!finished) return;
  }
  concluded_ = task_.conclude(*this);
}

bool RunLoop::train_epoch() {
  Phase phase(*this, task_.phase(), task_.images_a_step(), task_.steps(), progress_.step);
  while (phase.next()) {
    const StepResult result = guarded_step();
    progress_.train.add(result);
    ++progress_.step;
    phase.done(result.loss);
    if (since_checkpoint_.seconds() > 60.0 * checkpoint_every_) checkpoint();
  }
  steps_timed_ = phase.timed();
  train_seconds_ = phase.seconds();
  return phase.complete();
}

StepResult RunLoop::guarded_step() {
  try {
    return task_.step(progress_);
  } catch (const Error& error) {
    if (progress_.epoch == 0 && progress_.step == 0 && task_.untouched()) throw;
    const bool kept = checkpoint_after_failure([&] { checkpoint(); });
    throw Error(failed_step(progress_, error.what(), kept, folder_.checkpoint_path()));
  }
}

bool RunLoop::finish_epoch() {
  const Stopwatch watch;
  if (!task_.evaluate(*this, progress_)) return false;
  epoch_seconds_ = train_seconds_ + watch.seconds();
  progress_.memory.update(Allocator::of(device_).counters());
  task_.log_epoch(*this, basics());
  ++progress_.epoch;
  progress_.step = 0;
  progress_.train = {};
  return true;
}

EpochBasics RunLoop::basics() const {
  EpochBasics b;
  b.epoch = static_cast<int>(progress_.epoch) + 1;
  b.epochs = task_.epochs();
  b.train_loss = progress_.train.mean_loss();
  b.train_top1 = progress_.train.top1_percent();
  if (steps_timed_ > 0)
    b.images_per_second =
        static_cast<double>(steps_timed_) * task_.images_a_step() / train_seconds_;
  b.peak_bytes = progress_.memory.total;
  for (int tag = 0; tag < memory_tag_count; ++tag)
    b.peak_bytes_by_tag[to_string(static_cast<MemoryTag>(tag))] = progress_.memory.by_tag[tag];
  return b;
}

int RunLoop::stopped_by_signal() const {
  const bool stopped = progress_.epoch < task_.epochs() && !task_.ended();
  return stopped || !concluded_ ? stop_signal() : 0;
}

void RunLoop::checkpoint() {
  progress_.memory.update(Allocator::of(device_).counters());
  StateArchive archive({task_.phase(), folder_.configuration()});
  archive_data(archive);
  task_.archive(archive, progress_);
  archive.write(folder_.checkpoint_path());
  since_checkpoint_ = Stopwatch();
}

void RunLoop::tell(const Phase& phase, double loss) {
  const double step_seconds = phase.seconds() / static_cast<double>(phase.timed());
  const double epoch_seconds =
      epoch_seconds_ > 0 ? epoch_seconds_ : step_seconds * task_.epoch_steps();
  StepProgress p;
  p.epochs = task_.epochs();
  p.epoch = std::min(static_cast<int>(progress_.epoch) + 1, p.epochs);
  p.step = phase.step_;
  p.steps = phase.steps_;
  p.phase = phase.name_;
  p.loss = loss;
  p.steps_per_second = 1.0 / step_seconds;
  p.images_per_second = p.steps_per_second * phase.images_;
  p.seconds_left = step_seconds * static_cast<double>(p.steps - p.step) +
                   epoch_seconds * static_cast<double>(p.epochs - p.epoch);
  observer_.on_step(p);
}

std::string peak_text(const MemoryPeak& peak) {
  std::string text = format_bytes(peak.total);
  for (int tag = 0; tag < memory_tag_count; ++tag)
    if (peak.by_tag[tag] != 0)
      text += std::string(", ") + to_string(static_cast<MemoryTag>(tag)) + " " +
              format_bytes(peak.by_tag[tag]);
  return text;
}

}  // namespace drnas
