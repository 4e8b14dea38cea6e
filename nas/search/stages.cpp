// SPDX-License-Identifier: MIT
#include "nas/search/stages.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "engine/parameters/schedule.h"
#include "kernels/core/error.h"

namespace drnas {
namespace {

/// 1 + cos(pi e/E): the cosine schedule's shape.
double cosine_shape(double epoch, int epochs) {
  return 1.0 + std::cos(std::numbers::pi * epoch / epochs);
}

}  // namespace

std::vector<Stage> stages_of(const SearchOptions& o, int ops) {
  if (o.stage_epochs.empty())
    return {{1, 0, o.epochs, o.partial_channels[0], o.keep_ops.empty() ? ops : o.keep_ops[0]}};
  std::vector<Stage> stages;
  int first = 0;
  for (std::size_t i = 0; i < o.stage_epochs.size(); ++i) {
    const int keep = o.keep_ops.empty() ? ops : o.keep_ops[i];
    stages.push_back({static_cast<int>(i) + 1, first, o.stage_epochs[i],
                      o.partial_channels[o.partial_channels.size() == 1 ? 0 : i], keep});
    first += o.stage_epochs[i];
  }
  return stages;
}

const Stage& stage_at(const std::vector<Stage>& stages, std::int64_t epoch) {
  for (const Stage& stage : stages)
    if (epoch < stage.end_epoch()) return stage;
  return stages.back();
}

double weight_learning_rate(const SearchOptions& o, const Stage& stage, std::int64_t epoch,
                            double share) {
  const int e = static_cast<int>(epoch);
  if (e < o.warmup_epochs) return o.learning_rate * (e + 1) / o.warmup_epochs;
  // The epoch whose rate was the full one, from which the published schedule goes on by ratios.
  int full = 0;
  if (o.recipe == "published")
    full = stage.number > 1 ? stage.first_epoch : std::max(0, o.warmup_epochs - 1);
  if (full == 0 && share == 0)
    return cosine_learning_rate(o.learning_rate, o.learning_rate_min, e, o.epochs);
  return o.learning_rate_min + (o.learning_rate - o.learning_rate_min) *
                                   cosine_shape(e + share, o.epochs) / cosine_shape(full, o.epochs);
}

std::int64_t alpha_epochs_before(const SearchOptions& o, const std::vector<Stage>& stages,
                                 std::int64_t epoch) {
  std::int64_t sum = 0;
  for (const Stage& stage : stages)
    sum += std::max<std::int64_t>(0, std::min<std::int64_t>(epoch, stage.end_epoch()) -
                                         stage.first_epoch - o.alpha_start_epoch);
  return sum;
}

}  // namespace drnas
