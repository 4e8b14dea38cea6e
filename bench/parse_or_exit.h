// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "kernels/core/error.h"

namespace drnas::bench {

/// Ends the program after --help; throws Error for what is wrong.
inline void parse_or_exit(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    std::exit(app.exit(help));
  } catch (const CLI::ParseError& failure) {
    throw Error(failure.what());
  }
}

}  // namespace drnas::bench
