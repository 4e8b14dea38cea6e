// SPDX-License-Identifier: MIT
#pragma once

#include "nas/space/supernet.h"

namespace drnas::bench {

/// Multiply-adds of all convolutions in one image's forward pass through a supernet without pruned
/// operations.
double forward_macs(const SupernetOptions& options, int image_size);

}  // namespace drnas::bench
