// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "nas/options/train_options.h"
#include "nas/search/search_inputs.h"
#include "nas/step/network_trainer.h"

namespace drnas {

/// What the options mean for the parts of a training.
NetworkTrainerOptions network_trainer_options(const TrainOptions& options);
/// Makes this process's convolutions multiply as --precision asks. Throws Error where the device
/// cannot.
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
  ImagePlace images = ImagePlace::host;
  std::shared_ptr<const ImageBytes> pinned_train,
      pinned_test;   ///< where they are pinned, else null
  std::string note;  ///< a line on what could not be had, or empty

  /// Of the host's memory, beside the plan's.
  std::int64_t pinned_bytes() const {
    return pinned_train ? pinned_train->pinned_bytes() + pinned_test->pinned_bytes() : 0;
  }
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
  /// On a GPU the images lie on the device where --memory-limit allows, else in pinned memory of
  /// the host, which this call allocates, and where the system gives none they are left to the host
  /// with a note. Throws Error where nothing fits.
  TrainMemory plan(const TrainOptions& options, Device device) const;
};

}  // namespace drnas
