// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <vector>

namespace drnas {

/// Test accuracy in percent of one architecture after 200 epochs, mean over trials.
struct TableAccuracy {
  double cifar10 = 0, cifar100 = 0, imagenet16_120 = 0;
};

/// A column of such tables: the data set as --dataset takes it, its key in logs, its title.
struct TableColumn {
  std::string_view dataset, key, title;
  double TableAccuracy::*accuracy;
};
inline constexpr TableColumn table_columns[] = {
    {"cifar10", "cifar10", "CIFAR-10", &TableAccuracy::cifar10},
    {"cifar100", "cifar100", "CIFAR-100", &TableAccuracy::cifar100},
    {"imagenet16-120", "imagenet16_120", "ImageNet-16-120", &TableAccuracy::imagenet16_120}};

/// Accuracies of all architectures of a space, by their number (Architecture::number).
class AccuracyTable {
 public:
  explicit AccuracyTable(std::vector<TableAccuracy> accuracies)
      : accuracies_(std::move(accuracies)) {}

  int size() const { return static_cast<int>(accuracies_.size()); }
  const TableAccuracy& at(int number) const {
    return accuracies_.at(static_cast<std::size_t>(number));
  }
  /// Place among all by one of the accuracies, counted from 1; equal ones share the first place.
  int place(int number, double TableAccuracy::*accuracy) const {
    int place = 1;
    for (const TableAccuracy& other : accuracies_)
      if (other.*accuracy > at(number).*accuracy) ++place;
    return place;
  }

 private:
  std::vector<TableAccuracy> accuracies_;
};

}  // namespace drnas
