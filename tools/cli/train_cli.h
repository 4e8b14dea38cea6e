// SPDX-License-Identifier: MIT
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "nas/options/train_options.h"

namespace drnas::tools {

/// What the command line of drnas_train asks for.
struct TrainCommandLine {
  /// Validated; `out` and `threads` are filled in; with --resume those of the run, with --evaluate
  /// those of the file and what was given.
  TrainOptions options;
  bool answered = false;  ///< --help or --version was printed: nothing else to do
};

/// Throws Error naming the option: unknown, without a value, with an impossible one.
TrainCommandLine parse_train_command_line(const std::vector<std::string>& arguments,
                                          std::ostream& output);

}  // namespace drnas::tools
