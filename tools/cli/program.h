// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace drnas::tools {

/// The body of every main(): calls `run` with the arguments and returns its exit status, or 2 after
/// a line on standard error where it throws, memory runs out, or what it printed cannot be written.
int run_program(int argc, char** argv, int (*run)(const std::vector<std::string>& arguments));

}  // namespace drnas::tools
