// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "nas/options/search_options.h"
#include "nas/search/search_events.h"

namespace drnas::tools {

/// Mean and sample deviation (n - 1; zero for one value).
struct Spread {
  double mean = 0, deviation = 0;
};
Spread spread(std::span<const double> values);

/// Options of one of several searches: its seed, OUT/seed-N; with --resume it continues where that
/// folder exists.
SearchOptions options_for_seed(const SearchOptions& options, std::uint64_t seed);

/// Cells found for each seed and, with a table, mean and deviation of their accuracies.
std::string seeds_summary(std::span<const std::uint64_t> seeds,
                          std::span<const SearchResult> results);

}  // namespace drnas::tools
