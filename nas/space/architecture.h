// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/supernet.h"

namespace drnas {

/// The architecture that mixing weights stand for.
struct Architecture {
  std::string genotype;           ///< one line in the form of the search space
  std::optional<Nb201Cell> cell;  ///< in NAS-Bench-201
  /// Its decisions, each "CELL TO<-FROM OPERATION": one an edge in NAS-Bench-201; the 16 inputs of
  /// nodes in the DARTS space.
  std::vector<std::string> choices;
  int skips = 0, places = 0;  ///< skip connections among the edges of the cell (DARTS: the normal
                              ///< cell), and how many edges it has
};

/// Reads a genotype line of the search space. Throws Error as parse_nb201() and
/// parse_darts_genotype() do.
Architecture read_architecture(SearchSpace space, const std::string& genotype);
/// theta [rows][columns] as theta_shape() says. NAS-Bench-201: the largest entry of each edge;
/// DARTS: derive_darts_genotype(). Throws Error as these do.
Architecture derive_architecture(SearchSpace space, bool none,
                                 const std::vector<std::vector<double>>& theta);

/// Share of the choices of `a` that `b` makes as well, 0 to 1.
double agreement(const Architecture& a, const Architecture& b);

}  // namespace drnas
