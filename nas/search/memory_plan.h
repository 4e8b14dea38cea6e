// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/batch_source.h"
#include "engine/memory/allocator.h"
#include "nas/method/search_method.h"
#include "nas/search/selection.h"

namespace drnas {

/// What a search will hold in memory, counted without computing anything.

/// The network, the sizes of the batches that will come, and where they run.
struct MemoryQuestion {
  SupernetOptions supernet;
  const MethodInfo* method = search_methods()[0];
  std::optional<MethodOptions> method_options;  ///< none: what any method of the space takes
  std::vector<int> batch_sizes{64};             ///< where there are no `sources`
  int image_size = 32;
  /// Makes the sources of training, validation and evaluation batches whose memory lies on the
  /// device too.
  std::function<BatchSources()> sources;
  Device device = Device::cpu;
  TrainerOptions trainer;
  bool probes = false;                            ///< the search takes Hessians
  std::optional<SelectionPasses> selection = {};  ///< it ends with one
};

/// The counters that the device's pool will show after steps of all kinds: bytes by tag at the
/// peak, equal to a run's to the byte.
MemoryCounters plan_memory(const MemoryQuestion& question);

/// The way to treat raw convolution outputs that `name` (auto, store, rebuild-1x1, rebuild) stands
/// for: auto takes the first of the three that stays within `limit` bytes (0: rebuild-1x1 on a CPU,
/// store on a GPU). Throws Error where none of those allowed does.
RawOutputs choose_raw_outputs(const std::string& name, MemoryQuestion question, std::int64_t limit);

/// A table of peak bytes by tag for K 1, 2, 3, 4, 6, 8 (as far as they divide C) in each mode.
std::string memory_table(const MemoryQuestion& question);

}  // namespace drnas
