// SPDX-License-Identifier: MIT
#pragma once

#include "nas/space/search_space.h"

namespace drnas {

/// NAS-Bench-201 (Dong and Yang, ICLR 2020): cells of four nodes, one of five operations on each of
/// six edges; three sections of N cells with C, 2C and 4C channels. An architecture is the
/// operation of the largest weight on each edge, `none` included.
const SearchSpace& nb201_space();

}  // namespace drnas
