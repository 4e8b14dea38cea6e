// SPDX-License-Identifier: MIT
#include "nas/training/train.h"

#include <algorithm>

#include "engine/memory/planning.h"
#include "nas/run/machine.h"
#include "nas/run/session.h"
#include "nas/training/training_task.h"
#include "nas/training/weights_file.h"

namespace drnas {

namespace {

StepProgress evaluation_progress(std::int64_t done, std::int64_t batches, int images,
                                 double seconds) {
  StepProgress p;
  p.epoch = p.epochs = 1;
  p.step = done;
  p.steps = batches;
  p.phase = "evaluation";
  p.steps_per_second = static_cast<double>(done) / seconds;
  p.images_per_second = p.steps_per_second * images;
  p.seconds_left = seconds / static_cast<double>(done) * static_cast<double>(batches - done);
  return p;
}

}  // namespace

TestResult test_result(const EpochTotals& totals) {
  return {totals.mean_loss(), totals.top1_percent(), totals.top5_percent(), totals.images};
}

TrainResult run_training(const TrainOptions& options, TrainObserver& observer) {
  return run_session<TrainingTask>(options, observer);
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
  const TrainInputs inputs(options, false);
  apply_precision(options, device);
  const RunResources resources(device, options.threads, options.memory_limit);
  const auto make_network = [&] {
    return make_derived_network(derived_options(options, inputs.classes()), options.seed, device);
  };
  {  // a small file may claim a large network, or large batches
    const Planning planning(device);
    const auto network = make_network();
    require_network(options.evaluate, *network);
    const auto images = std::min<std::int64_t>(options.batch_size, inputs.dataset.test.count);
    NetworkTrainer(*network, network_trainer_options(options))
        .evaluate(DeviceBatch(static_cast<int>(images), inputs.dataset.test.size, device));
    require_memory(planning.counters().peak, device);
  }
  const auto network = make_network();
  load_network(options.evaluate, *network);
  NetworkTrainer trainer(*network, network_trainer_options(options));
  const BatchSources batches = inputs.batch_sources(options, device, {});
  EpochTotals totals;
  const Stopwatch watch;
  for (std::int64_t done = 1; done <= batches.evaluation->batches(); ++done) {
    totals.add(trainer.evaluate(batches.evaluation->next()));
    observer.on_step(evaluation_progress(done, batches.evaluation->batches(), options.batch_size,
                                         watch.seconds()));
  }
  return test_result(totals);
}

}  // namespace drnas
