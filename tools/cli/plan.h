// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "nas/options/search_options.h"

namespace drnas::tools {

/// What a search is about to do, a few lines.
std::string plan_text(const SearchOptions& options);

}  // namespace drnas::tools
