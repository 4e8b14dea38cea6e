// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nas/search/search_events.h"

namespace drnas::tools {

/// 1.2345, 2 -> "1.23".
std::string fixed(double value, int digits);
/// "1:02:03" or "2:03"; "-" for an unknown (negative) time.
std::string duration(double seconds);
/// 123.4 MiB.
std::string mebibytes(std::int64_t bytes);
/// "error: " and the message as one line of at most 5000 bytes, whatever names and values it
/// repeats: a longer message is cut.
std::string error_line(std::string_view message);
/// A word as the shell reads it.
std::string shell_word(const std::string& text);
/// The program of this name beside the running one, as the shell starts it: "./drnas_train", or its
/// name alone where this one was found by PATH.
std::string program_beside(const std::string& name);
/// "CIFAR-10 94.36, CIFAR-100 73.51, ImageNet-16-120 46.34".
std::string accuracies(const TableAccuracy& table);
/// "cost of the cell's operations: 12.3 M multiply-adds, 0.412 of all operations mixed alike".
std::string cost_text(const CellCost& cost);
/// "place 412 of 15,625 on CIFAR-10, better than 97.4 % of all cells".
std::string place_text(const TablePlace& place);

}  // namespace drnas::tools
