// SPDX-License-Identifier: MIT
#include <exception>
#include <iostream>

#include "tools/report/report_cli.h"

int main(int argc, char** argv) {
  try {
    const auto line = drnas::tools::parse_report_command_line({argv + 1, argv + argc}, std::cout);
    if (!line.answered) drnas::tools::write_report(line, std::cout, std::cerr);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 2;
  }
}
