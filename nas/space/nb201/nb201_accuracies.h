// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>

namespace drnas {

/// The bytes of nats_bench_accuracies.bin, which the build puts into the library (written by
/// tools/data/pack_nb201_table.py).
std::span<const std::byte> nb201_accuracies();

}  // namespace drnas
