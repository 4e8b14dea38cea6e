// SPDX-License-Identifier: MIT
#include "nas/search/stages.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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
  const std::vector<int> epochs = o.stage_epochs.empty() ? std::vector{o.epochs} : o.stage_epochs;
  std::vector<Stage> stages;
  int first = 0;
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    Stage stage{static_cast<int>(i) + 1, first, epochs[i]};
    stage.partial_channels = o.partial_channels[o.partial_channels.size() == 1 ? 0 : i];
    stage.keep_ops = o.keep_ops.empty() ? ops : o.keep_ops[i];
    stage.anew = !o.stage_cells.empty();
    stage.cells = stage.anew ? o.stage_cells[i] : o.cells;
    stage.skip_dropout = o.skip_dropout.empty() ? 0 : o.skip_dropout[i];
    stages.push_back(stage);
    first += epochs[i];
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
  const int e = static_cast<int>(epoch) - (stage.anew ? stage.first_epoch : 0);
  const int epochs = stage.anew ? stage.epochs : o.epochs;
  if (e < o.warmup_epochs) return o.learning_rate * (e + 1) / o.warmup_epochs;
  // The epoch whose rate was the full one, from which the published schedule goes on by ratios.
  int full = 0;
  if (o.recipe == "published")
    full = stage.number > 1 && !stage.anew ? stage.first_epoch : std::max(0, o.warmup_epochs - 1);
  if (full == 0 && share == 0)
    return cosine_learning_rate(o.learning_rate, o.learning_rate_min, e, epochs);
  return o.learning_rate_min + (o.learning_rate - o.learning_rate_min) *
                                   cosine_shape(e + share, epochs) / cosine_shape(full, epochs);
}

double skip_dropout(const SearchOptions& o, const Stage& stage, std::int64_t epoch) {
  const auto e = static_cast<double>(epoch - stage.first_epoch);
  if (!alpha_learns(o, stage, epoch))
    return stage.skip_dropout * (stage.epochs - e - 1) / stage.epochs;
  return stage.skip_dropout * std::exp(-0.2 * (e - o.alpha_start_epoch));
}

std::uint64_t stage_seed(const SearchOptions& o, const Stage& stage) {
  // An odd number of about 2^64 divided by the golden ratio: far from seeds that users choose.
  constexpr std::uint64_t apart = 0x9e3779b97f4a7c15u;
  return stage.anew ? o.seed + apart * static_cast<std::uint64_t>(stage.number - 1) : o.seed;
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
