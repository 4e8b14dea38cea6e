// SPDX-License-Identifier: MIT
#include "nas/space/architecture.h"

#include <algorithm>

namespace drnas {

std::string choice_text(std::string_view cell, int to, int from, std::string_view operation) {
  return std::string(cell) + " " + std::to_string(to) + "<-" + std::to_string(from) + " " +
         std::string(operation);
}

double agreement(const Architecture& a, const Architecture& b) {
  const auto shared = std::count_if(a.choices.begin(), a.choices.end(), [&](const auto& c) {
    return std::find(b.choices.begin(), b.choices.end(), c) != b.choices.end();
  });
  return static_cast<double>(shared) / static_cast<double>(a.choices.size());
}

}  // namespace drnas
