// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <vector>

#include "nas/space/nb201/nb201_cell.h"

namespace drnas {

/// Test accuracy in percent of one cell after 200 epochs, mean over trials.
struct TableAccuracy {
  double cifar10 = 0, cifar100 = 0, imagenet16_120 = 0;
};

/// Accuracies of all 15,625 cells (Dong and Yang, ICLR 2020), from a CSV file with the header
/// `architecture,cifar10_test,cifar100_test,imagenet16_120_test`, rows in any order.
class Nb201Table {
 public:
  /// Throws Error naming file and line: wrong header, wrong architecture string, an accuracy that
  /// is no number or outside 0 to 100, a duplicate; and naming the file for missing rows (how many,
  /// and one of them).
  explicit Nb201Table(const std::filesystem::path& file);

  /// Of a cell, or of the architecture with that number (Architecture::number).
  const TableAccuracy& at(const Nb201Cell& cell) const { return at(cell.index()); }
  const TableAccuracy& at(int number) const;
  /// Median of each column on its own.
  const TableAccuracy& median() const { return median_; }

 private:
  std::vector<TableAccuracy> accuracy_;  // [Nb201Cell::count], by Nb201Cell::index
  TableAccuracy median_;
};

}  // namespace drnas
