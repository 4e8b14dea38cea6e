// SPDX-License-Identifier: MIT
#pragma once

#include "nas/options/train_options.h"
#include "nas/training/train_events.h"

namespace drnas {

/// Trains, or with options.resume goes on training, one network from scratch in the run directory
/// options.out and reports to `observer`. The test set is evaluated after every epoch. Ends after
/// the last epoch or, with interrupted_by_signal set, after the step during which SIGINT or SIGTERM
/// came; then and at each epoch's end the directory holds a checkpoint from which --resume goes on
/// bit by bit. Throws Error like run_search.
TrainResult run_training(const TrainOptions& options, TrainObserver& observer);

/// Reads and checks all that run_training would, writes nothing, and says what would be done.
std::string plan_training_run(const TrainOptions& options);
/// Parameters, multiply-adds and the memory of the training, without data and without a run
/// directory.
std::string describe_training(const TrainOptions& options);

/// The options of the training whose checkpoint or weights lie in `file`.
TrainOptions stored_train_options(const std::filesystem::path& file);
/// The network of options.evaluate on the whole test set.
TestResult evaluate_training(const TrainOptions& options, TrainObserver& observer);

}  // namespace drnas
