// SPDX-License-Identifier: MIT
#pragma once

#include "nas/options/search_options.h"
#include "nas/search/search_events.h"

namespace drnas {

/// Runs, or with options.resume continues, one search in the run directory options.out and reports
/// to `observer`. Ends after the last epoch or, with interrupted_by_signal set, after the step
/// during which SIGINT or SIGTERM came; then and at each epoch's end the directory holds a
/// checkpoint from which --resume goes on bit by bit. Throws Error: bad options, data, table, run
/// directory or checkpoint; memory budget exceeded; loss or gradients not finite (the last good
/// state is checkpointed first).
SearchResult run_search(const SearchOptions& options, SearchObserver& observer);

/// Reads and checks all that run_search would, writes nothing, and says what would be done.
std::string plan_search(const SearchOptions& options);
/// The memory that this network's steps will need for K 1, 2, 3, 4, 6, 8, without data and without
/// a run directory.
std::string plan_search_memory(const SearchOptions& options);

}  // namespace drnas
