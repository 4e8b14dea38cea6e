// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "data/loader.h"
#include "nas/memory_plan.h"
#include "nas/nb201_table.h"
#include "nas/search_options.h"

namespace drnas {

/// What the options mean for the parts of a search.
TrainerOptions trainer_options(const SearchOptions& options);
LoaderOptions train_loader_options(const SearchOptions& options);
/// Alpha's batches: fresh draws from the second half.
LoaderOptions alpha_loader_options(const SearchOptions& options);
/// Evaluation: the second half in order, with the training transform under words of its own.
LoaderOptions evaluation_loader_options(const SearchOptions& options);

/// What a search reads before it starts.
struct SearchInputs {
  std::optional<Nb201Table> table;
  Dataset dataset;
  SearchSplit split;

  SearchInputs(const SearchOptions& options, bool write_cache);
  /// The batches that this search will make, and everything else that decides its memory.
  MemoryQuestion memory_question(const SearchOptions& options, Device device) const;
  /// With the way to treat raw outputs that --raw-outputs and --memory-limit ask for.
  SupernetOptions supernet_options(const SearchOptions& options, Device device) const;
};

}  // namespace drnas
