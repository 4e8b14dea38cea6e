// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "nas/space/cell_graph.h"

namespace drnas::tools {

/// The cell as lines of at most 80 columns: of each node what it reads, and through which
/// operation. UTF-8 with lines and arrows, or plain ASCII.
std::string cell_text(const CellGraph& graph, bool utf8);

/// Whether the environment's locale (LC_ALL, LC_CTYPE, LANG) is one of UTF-8.
bool locale_is_utf8();

}  // namespace drnas::tools
