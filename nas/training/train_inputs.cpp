// SPDX-License-Identifier: MIT
#include "nas/training/train_inputs.h"

#include <list>
#include <numeric>
#include <set>

#include "engine/memory/planning.h"
#include "nas/options/image_options.h"
#include "nas/run/precision.h"

namespace drnas {
namespace {

LoaderOptions train_loader_options(const TrainOptions& o) {
  LoaderOptions l;
  l.batch_size = o.batch_size;
  l.cutout = o.cutout;
  l.colour_jitter = o.colour_jitter;
  l.seed = o.seed;
  return l;
}

LoaderOptions test_loader_options(const TrainOptions& o) {
  LoaderOptions l;
  l.batch_size = o.batch_size;
  l.shuffle = false;
  l.augment = false;
  return l;
}

std::vector<std::int32_t> first_images(std::int64_t count, std::int64_t limit) {
  std::vector<std::int32_t> images(
      static_cast<std::size_t>(limit > 0 ? std::min(limit, count) : count));
  std::iota(images.begin(), images.end(), 0);
  return images;
}

BatchSources gathered(const TrainInputs& in, const TrainOptions& o,
                      std::shared_ptr<const ImageBytes> train,
                      std::shared_ptr<const ImageBytes> test) {
  BatchSources sources;
  sources.train = std::make_unique<GatheredBatches>(
      BatchMaker(in.dataset.train, in.train, in.dataset, train_loader_options(o)),
      std::move(train));
  sources.evaluation = std::make_unique<GatheredBatches>(
      BatchMaker(in.dataset.test, in.test, in.dataset, test_loader_options(o)), std::move(test));
  return sources;
}

BatchSources copied(const TrainInputs& in, const TrainOptions& o, Device device) {
  const auto memory = std::make_shared<HostBatches::Memory>();
  const auto whole = static_cast<std::size_t>(o.batch_size);
  // All from the start, as planned: the pool does not count while recorded steps are replayed.
  for (const auto* images : {&in.train, &in.test})
    for (const std::size_t size : {std::min(whole, images->size()), images->size() % whole})
      if (size > 0)
        memory->try_emplace(static_cast<int>(size), static_cast<int>(size), in.dataset.train.size,
                            device);
  BatchSources sources;
  sources.train = std::make_unique<HostBatches>(
      std::make_unique<Loader>(in.dataset.train, in.train, in.dataset, train_loader_options(o)),
      memory, device);
  sources.evaluation = std::make_unique<HostBatches>(
      std::make_unique<Loader>(in.dataset.test, in.test, in.dataset, test_loader_options(o)),
      memory, device);
  return sources;
}

/// Steps on the first and the last batch, whose size may differ.
void run_ends(BatchSource& source, const std::function<void(const DeviceBatch&)>& step) {
  for (const std::int64_t position : {std::int64_t{0}, source.batches() - 1}) {
    source.seek(position);
    step(source.next());
  }
}

[[noreturn]] void fail_to_fit(const TrainOptions& o, std::int64_t bytes) {
  throw Error("--memory-limit " + std::to_string(o.memory_limit) + ": the training needs " +
              format_bytes(bytes) + " (" + std::to_string(bytes) +
              " bytes); expected more, or a smaller --batch-size");
}

}  // namespace

NetworkTrainerOptions network_trainer_options(const TrainOptions& o) {
  NetworkTrainerOptions t;
  t.rule = {static_cast<float>(o.momentum), static_cast<float>(o.weight_decay), o.grad_clip,
            o.nesterov};
  t.label_smoothing = static_cast<float>(o.label_smoothing);
  t.auxiliary_weight = static_cast<float>(o.auxiliary_weight);
  t.drop_path = o.drop_path > 0;
  t.capture = !o.no_graph;
  return t;
}

void apply_precision(const TrainOptions& o, Device device) {
  const std::string name = o.precision == "auto" ? "fp32" : o.precision;
  set_convolutions(choose_precision(name, device, o.channels), o.conv, device);
}

TrainingPlan plan_training(const TrainOptions& o, int classes, Device device,
                           const std::function<BatchSources()>& make_sources) {
  const Planning planning(device);
  TrainingPlan plan;
  {
    const auto network = make_derived_network(derived_options(o, classes), o.seed, device);
    plan.cost = network->cost();
    NetworkTrainer trainer(*network, network_trainer_options(o));
    if (make_sources) {
      const BatchSources sources = make_sources();
      run_ends(*sources.train, [&](const DeviceBatch& batch) { trainer.train(batch); });
      run_ends(*sources.evaluation, [&](const DeviceBatch& batch) { trainer.evaluate(batch); });
    } else {
      const DeviceBatch batch(o.batch_size, o.image_size, device);
      trainer.train(batch);
      trainer.evaluate(batch);
    }
  }
  plan.memory = planning.counters();
  return plan;
}

TrainInputs::TrainInputs(const TrainOptions& o, bool write_cache)
    : dataset(read_dataset(dataset_options(o, write_cache))),
      train(first_images(dataset.train.count, o.limit_train)),
      test(first_images(dataset.test.count, 0)) {}

BatchSources TrainInputs::batch_sources(const TrainOptions& o, Device device,
                                        const TrainMemory& memory) const {
  const PlacedImages& images = memory.images;
  if (images.place == ImagePlace::host) return copied(*this, o, device);
  if (images.place == ImagePlace::pinned)
    return gathered(*this, o, images.pinned.at(0), images.pinned.at(1));
  return gathered(*this, o, ImageBytes::resident(dataset.train, device),
                  ImageBytes::resident(dataset.test, device));
}

TrainMemory TrainInputs::plan(const TrainOptions& o, Device device) const {
  TrainMemory memory;
  const auto plan_with = [&](ImagePlace place) {
    memory.images.place = place;
    memory.plan = plan_training(o, classes(), device, [&]() -> BatchSources {
      if (place == ImagePlace::pinned)
        return gathered(*this, o, ImageBytes::pinned(dataset.train),
                        ImageBytes::pinned(dataset.test));
      return batch_sources(o, device, memory);
    });
    return o.memory_limit == 0 || memory.plan.memory.peak <= o.memory_limit;
  };
  const ImageSet* const sets[] = {&dataset.train, &dataset.test};
  memory.images = place_images(device, sets, [&](ImagePlace place) {
    const bool fits = plan_with(place);
    if (!fits && place == ImagePlace::host) fail_to_fit(o, memory.plan.memory.peak);
    return fits;
  });
  return memory;
}

}  // namespace drnas
