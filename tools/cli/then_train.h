// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "nas/options/search_options.h"

namespace drnas::tools {

/// Trains, or goes on training, what a search has found in OUT/train; see train_and_report().
int train_found(const SearchOptions& search, const std::string& genotype);

}  // namespace drnas::tools
