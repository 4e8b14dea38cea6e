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

/// Storage type of activations that --precision asks for on this device, and whether convolutions
/// multiply in TF32: auto takes bf16 on CUDA where the channels are a multiple of eight, as tensor
/// cores want them. Throws Error where the device cannot.
struct Precision {
  DType storage = DType::f32;
  bool tf32 = false;
};
Precision choose_precision(const std::string& name, Device device, int channels);
/// The same, and makes this process's convolutions multiply so. Before memory is planned: the modes
/// need different workspaces.
Precision apply_precision(const SearchOptions& options, Device device);

/// How a search uses memory.
struct SearchMemory {
  SupernetOptions network;
  bool resident = false;
  std::int64_t peak_bytes = 0;  ///< of tensors, planned
};

/// What a search reads before it starts.
struct SearchInputs {
  std::optional<Nb201Table> table;
  Dataset dataset;
  SearchSplit split;

  SearchInputs(const SearchOptions& options, bool write_cache);
  /// The batches that this search will make, and everything else that decides its memory.
  /// `resident`: the training images stay on the device as bytes.
  MemoryQuestion memory_question(const SearchOptions& options, Device device, bool resident) const;
  BatchSources batch_sources(const SearchOptions& options, Device device, bool resident) const;
  /// What --raw-outputs and --memory-limit lead to. On a GPU the images are resident where the
  /// limit allows. Throws Error where nothing fits.
  SearchMemory plan(const SearchOptions& options, Device device) const;
};

}  // namespace drnas
