// SPDX-License-Identifier: MIT
// Cells as genotypes that networks are made of.
#pragma once

#include "nas/space/darts/darts_genotype.h"
#include "nas/space/darts/darts_space.h"
#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/nb201/nb201_space.h"

namespace drnas::test {

inline Genotype genotype_of(const Nb201Cell& cell) { return {&nb201_space(), to_string(cell)}; }
inline Genotype genotype_of(const DartsGenotype& cells) {
  return {&darts_space(), to_string(cells)};
}

}  // namespace drnas::test
