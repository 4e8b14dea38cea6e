// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "data/loader.h"
#include "engine/memory/allocator.h"
#include "nas/options/train_options.h"
#include "nas/run/image_place.h"
#include "nas/step/network_trainer.h"

namespace drnas {

/// What the options mean for the parts of a training.
NetworkTrainerOptions network_trainer_options(const TrainOptions& options);
/// set_convolutions() as --precision and --conv ask. Throws Error where the device cannot.
void apply_precision(const TrainOptions& options, Device device);
/// What a network and its training steps take, counted without computing anything.
struct TrainingPlan {
  NetworkCost cost;
  MemoryCounters memory;  ///< of the device: bytes by tag at the peak, equal to a run's to the byte
};
/// Steps on every size of batch that `sources` make; without sources, on batches of --batch-size
/// alone.
TrainingPlan plan_training(const TrainOptions& options, int classes, Device device,
                           const std::function<BatchSources()>& sources = {});

/// How a training uses memory.
struct TrainMemory {
  TrainingPlan plan;
  PlacedImages images;  ///< training, then test images

  const std::string& note() const { return images.note; }
  const MemoryExtents& planned_extents() const { return plan.memory.extents; }
};

/// What a training reads before it starts: the first --limit-train training images and the whole
/// test set.
struct TrainInputs {
  Dataset dataset;
  std::vector<std::int32_t> train, test;  ///< images of either set

  TrainInputs(const TrainOptions& options, bool write_cache);
  int classes() const { return static_cast<int>(dataset.classes.size()); }
  /// Sources of training and test batches (`alpha` stays empty).
  BatchSources batch_sources(const TrainOptions& options, Device device,
                             const TrainMemory& memory) const;
  /// The images lie where place_images() puts them. Throws Error where nothing fits --memory-limit.
  TrainMemory plan(const TrainOptions& options, Device device) const;
};

}  // namespace drnas
