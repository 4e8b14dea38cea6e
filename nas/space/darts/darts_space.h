// SPDX-License-Identifier: MIT
#pragma once

#include "nas/space/search_space.h"

namespace drnas {

/// The space of DARTS (Liu et al., ICLR 2019): normal and reduction cells of two inputs and four
/// nodes, one of seven operations (eight with `none`) on each edge from every earlier state. An
/// architecture keeps two inputs of each node: derive_darts_genotype().
const SearchSpace& darts_space();

}  // namespace drnas
