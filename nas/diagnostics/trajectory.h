// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nas/method/law.h"
#include "nas/space/accuracy_table.h"
#include "nas/space/search_space.h"

namespace drnas {

/// Five figures of a sample; quartiles are interpolated linearly between order statistics.
struct Quartiles {
  double min = 0, q1 = 0, median = 0, q3 = 0, max = 0;
};
/// Throws Error for an empty sample.
Quartiles quartiles(std::vector<double> values);

/// What cells sampled from the current distribution are like: a column of Figure 1 of DrNAS. A
/// search explores while they differ, and exploits once they agree with the cell that it would
/// choose.
struct TrajectoryRecord {
  int samples = 0;
  int distinct = 0;      ///< different cells among them
  double agreement = 0;  ///< mean share of the chosen cell's choices that a sample makes as well
  /// Test accuracy in percent, by data set (cifar10, cifar100, imagenet16_120); empty without a
  /// table.
  std::map<std::string, Quartiles> accuracy;
};

/// Draws theta `samples` times and takes the architecture of each; `chosen` is what the search
/// itself would answer now. The draws of `epoch` are the same whenever they are made, and none is
/// one of the search's: those count up from zero, these down from 0xfffffffe.
TrajectoryRecord sample_trajectory(Law& law, const SearchSpace& space, bool none,
                                   const Architecture& chosen, const AccuracyTable* table,
                                   int samples, std::int64_t epoch);

}  // namespace drnas
