// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "nas/options/search_options.h"

namespace drnas::tools {

/// Arguments with which drnas_search has these options again, but for --out and actions: the preset
/// and what differs from it.
std::vector<std::string> repeat_arguments(const SearchOptions& options);

}  // namespace drnas::tools
