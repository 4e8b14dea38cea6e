// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drnas {

/// The architecture that mixing weights stand for.
struct Architecture {
  std::string genotype;  ///< one line in the form of the search space
  /// Among all of the space, where they are numbered for tables of accuracies.
  std::optional<int> number;
  /// Its decisions, each "CELL TO<-FROM OPERATION".
  std::vector<std::string> choices;
  int skips = 0, places = 0;  ///< skip connections among the edges of the (normal) cell, and how
                              ///< many edges it has
};

/// "CELL TO<-FROM OPERATION".
std::string choice_text(std::string_view cell, int to, int from, std::string_view operation);
/// As architectures name it.
inline constexpr std::string_view skip_name = "skip_connect";

/// Share of the choices of `a` that `b` makes as well, 0 to 1.
double agreement(const Architecture& a, const Architecture& b);

}  // namespace drnas
