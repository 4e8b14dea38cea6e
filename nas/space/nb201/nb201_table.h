// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "nas/space/accuracy_table.h"

namespace drnas {

/// Accuracies of all 15,625 cells (Dong and Yang, ICLR 2020), from a CSV file with the header
/// `architecture,cifar10_test,cifar100_test,imagenet16_120_test`, rows in any order. Throws Error
/// naming file and line: wrong header, wrong architecture string, an accuracy that is no number or
/// outside 0 to 100, a duplicate; and naming the file for missing rows (how many, and one of them).
AccuracyTable read_nb201_table(const std::filesystem::path& file);

/// The table that the library carries: figures of NATS-Bench (Dong, Liu, Musial and Gabrys, TPAMI
/// 2021; MIT licence), rounded to 0.01 %.
const AccuracyTable& built_in_nb201_table();

}  // namespace drnas
