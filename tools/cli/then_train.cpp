// SPDX-License-Identifier: MIT
#include "tools/cli/then_train.h"

#include "nas/run/run_folder.h"
#include "tools/cli/train_run.h"

namespace drnas::tools {

int train_found(const SearchOptions& search, const std::string& genotype) {
  TrainOptions options = train_options_after(search, genotype);
  options.resume = holds_run(options.out);
  if (options.resume) {
    const TrainOptions stored = resume_options(options, {});
    for (const auto& info : options_of<TrainOptions>())
      if (info.role == OptionRole::result) copy_option(options, stored, info);
  }
  options.validate();
  return train_and_report(options);
}

}  // namespace drnas::tools
