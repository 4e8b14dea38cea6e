// SPDX-License-Identifier: MIT
#include "tools/report/report_page.h"

#include <algorithm>

namespace drnas::tools {

std::string report_page(std::string_view data) {
  std::string page;
  // Line by line, once: what is filled in may look like a placeholder.
  for (std::string_view rest = report_template; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t first = std::min(line.find_first_not_of(" \t\r"), line.size());
    const std::string_view word = line.substr(first, line.find_last_not_of(" \t\r") + 1 - first);
    if (word == "/*STYLE*/") line = report_style;
    if (word == "/*DATA*/") line = data;
    if (word == "/*SCRIPT*/") line = report_script;
    page.append(line).append("\n");
  }
  return page;
}

}  // namespace drnas::tools
