// SPDX-License-Identifier: MIT
#include "tools/cli/plan.h"

#include "tools/cli/text.h"

namespace drnas::tools {
namespace {

std::string seeds_text(const SearchOptions& options) {
  if (options.seeds.empty()) return "seed " + std::to_string(options.seed);
  std::string text;
  for (const std::uint64_t seed : options.seeds)
    text += (text.empty() ? "seeds " : ", ") + std::to_string(seed);
  return text;
}

/// 4 to 2.
std::string stages_text(const std::vector<int>& values) {
  std::string text;
  for (const int value : values) text += (text.empty() ? "" : " to ") + std::to_string(value);
  return text;
}

}  // namespace

std::string plan_text(const SearchOptions& o) {
  const std::string folder = o.data.empty() ? "" : " in " + o.data.string();
  const std::string images = !o.train_list.empty() ? "listed"
                             : o.limit_train == 0  ? "all"
                                                   : std::to_string(o.limit_train);
  const std::string limit =
      o.memory_limit == 0 ? "" : ", at most " + mebibytes(o.memory_limit) + " for tensors";
  return "search    " + o.method + " in " + o.space + ": C " + std::to_string(o.channels) + ", N " +
         (o.stage_cells.empty() ? std::to_string(o.cells) : stages_text(o.stage_cells)) + ", K " +
         stages_text(o.partial_channels) + ", " +
         (o.keep_ops.empty() ? "" : stages_text(o.keep_ops) + " operations an edge, ") +
         seeds_text(o) + " (preset " + o.preset + ")\ndata      " + o.dataset + folder + ", " +
         images + " training images\nrecipe    " + std::to_string(o.epochs) + " epochs" +
         (o.stage_epochs.size() > 1 ? " in " + std::to_string(o.stage_epochs.size()) + " stages"
                                    : "") +
         ", batches of " + std::to_string(o.batch_size) + ", architecture from epoch " +
         std::to_string(o.alpha_start_epoch + 1) + ", regulariser " + o.regulariser +
         "\nmachine   " + o.device + ", " + std::to_string(o.threads) + " threads" + limit +
         "\noutput    " + o.out.string() + "\n";
}

}  // namespace drnas::tools
