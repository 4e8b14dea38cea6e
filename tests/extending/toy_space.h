// SPDX-License-Identifier: MIT
// A search space of one's own: two edges in a row, three operations each. docs/extending.md walks
// through it.
#pragma once

#include "nas/space/search_space.h"

namespace drnas::toys {

/// add_search_space(chain_space()) makes it --space chain.
const SearchSpace& chain_space();

}  // namespace drnas::toys
