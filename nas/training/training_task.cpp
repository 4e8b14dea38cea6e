// SPDX-License-Identifier: MIT
#include "nas/training/training_task.h"

#include <algorithm>

#include "nas/training/weights_file.h"

namespace drnas {

TrainingTask::TrainingTask(const TrainOptions& options, const TrainInputs& inputs,
                           const TrainMemory& memory, const RunFolder& folder,
                           TrainObserver& observer, Device device)
    : options_(options),
      inputs_(inputs),
      memory_(memory),
      folder_(folder),
      observer_(observer),
      network_(
          make_derived_network(derived_options(options, inputs.classes()), options.seed, device)),
      trainer_(*network_, network_trainer_options(options)),
      batches_(inputs.batch_sources(options, device, memory)) {}

double TrainingTask::epoch_steps() const {
  return static_cast<double>(steps()) + static_cast<double>(batches_.evaluation->batches()) / 3;
}

void TrainingTask::begin() { folder_.write_genotype(options_.genotype); }

void TrainingTask::seek(const RunProgress& progress) {
  batches_.train->seek(progress.epoch * steps() + progress.step);
}

void TrainingTask::begin_epoch(RunProgress& progress) {
  learning_rate_ = train_learning_rate(options_, progress.epoch);
  drop_path_ = drop_path_probability(options_, progress.epoch);
  trainer_.set_epoch(learning_rate_, drop_path_);
  step_ms_ = 0;
}

StepResult TrainingTask::step(const RunProgress&) {
  const StepResult result = trainer_.train(batches_.train->next());
  step_ms_ += result.total_ms;
  return result;
}

bool TrainingTask::evaluate(RunLoop& loop, const RunProgress&) {
  EpochTotals totals;
  BatchSource& source = *batches_.evaluation;
  source.seek(0);
  Phase phase(loop, "evaluation", options_.batch_size, source.batches());
  while (phase.next()) {
    totals.add(trainer_.evaluate(source.next()));
    phase.done();
  }
  if (!phase.complete()) return false;
  test_ = test_result(totals);
  best_top1_ = std::max(best_top1_, test_.top1);
  return true;
}

void TrainingTask::log_epoch(RunLoop& loop, const EpochBasics& basics) {
  TrainEpoch r;
  static_cast<EpochBasics&>(r) = basics;
  r.learning_rate = learning_rate_;
  r.drop_path = drop_path_;
  r.test_loss = test_.loss;
  r.test_top1 = test_.top1;
  r.test_top5 = test_.top5;
  r.step_ms = step_ms_ / static_cast<double>(std::max<std::int64_t>(1, loop.steps_timed()));
  r.pinned_bytes = memory_.images.pinned_bytes();
  folder_.append_log(to_json(r));
  save_weights(folder_.weights_path(), folder_.configuration(), *network_);
  observer_.on_epoch(r);
}

void TrainingTask::archive(StateArchive& a, RunProgress& progress) {
  progress.archive(a);
  std::uint32_t steps = trainer_.steps();
  a.value("steps", steps);
  a.value("test.loss", test_.loss);
  a.value("test.top1", test_.top1);
  a.value("test.top5", test_.top5);
  a.value("test.images", test_.images);
  a.value("best.top1", best_top1_);
  a.parameters(network_->parameters());
  if (a.loading()) trainer_.set_steps(steps);
}

TrainResult TrainingTask::result(const RunLoop& loop) const {
  TrainResult result;
  result.test = test_;
  result.best_top1 = best_top1_;
  result.epochs_done = loop.epochs_done();
  result.interrupted_by_signal = loop.stopped_by_signal();
  result.out = folder_.path();
  result.seconds = loop.seconds();
  return result;
}

}  // namespace drnas
