// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

#include "nas/options/search_options.h"

namespace drnas {

/// Times each operation of options.space at the shapes of its network, forward passes over batches
/// of options.batch_size on the device, and writes the table to options.measure_latency; `tell` is
/// given a line for each operation. Returns a line that says what was written. Throws Error: bad
/// options, a space that states no shapes, a file that cannot be written.
std::string measure_latency(const SearchOptions& options,
                            const std::function<void(const std::string&)>& tell);

}  // namespace drnas
