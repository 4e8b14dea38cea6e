// SPDX-License-Identifier: MIT
#include <iostream>

#include "tools/cli/program.h"
#include "tools/report/report_cli.h"

namespace {

int run(const std::vector<std::string>& arguments) {
  const auto line = drnas::tools::parse_report_command_line(arguments, std::cout);
  if (!line.answered) drnas::tools::write_report(line, std::cout, std::cerr);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return drnas::tools::run_program(argc, argv, run); }
