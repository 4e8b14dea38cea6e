// SPDX-License-Identifier: MIT
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "nas/options/search_options.h"

namespace drnas::tools {

/// What the command line of drnas_search asks for.
struct CommandLine {
  SearchOptions
      options;  ///< validated; `out` and `threads` are filled in; with --resume those of the run
  bool answered = false;  ///< --help or --version was printed: nothing else to do
};

/// Throws Error naming the option: unknown, without a value, with an impossible one.
CommandLine parse_command_line(const std::vector<std::string>& arguments, std::ostream& output);

}  // namespace drnas::tools
