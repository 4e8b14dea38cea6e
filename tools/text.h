// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "nas/space/nb201/nb201_table.h"

namespace drnas::tools {

/// 1.2345, 2 -> "1.23".
std::string fixed(double value, int digits);
/// "1:02:03" or "2:03"; "-" for an unknown (negative) time.
std::string duration(double seconds);
/// 123.4 MiB.
std::string mebibytes(std::int64_t bytes);
/// A word as the shell reads it.
std::string shell_word(const std::string& text);
/// "CIFAR-10 94.36, CIFAR-100 73.51, ImageNet-16-120 46.34".
std::string accuracies(const TableAccuracy& table);

}  // namespace drnas::tools
