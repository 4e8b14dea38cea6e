// SPDX-License-Identifier: MIT
#pragma once

#include "nas/options/train_options.h"

namespace drnas::tools {

/// What a training is about to do, a few lines.
std::string plan_text(const TrainOptions& options);

/// Trains, shows it on the terminal and prints the result and what to run next. Returns the exit
/// status: 0, or that of a process which the signal has ended.
int train_and_report(const TrainOptions& options);
/// Tests options.evaluate and prints the result.
int evaluate_and_report(const TrainOptions& options);

}  // namespace drnas::tools
