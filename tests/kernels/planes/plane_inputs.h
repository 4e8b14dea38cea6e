// SPDX-License-Identifier: MIT
// Arrays that a call on the CPU reads, kept until it is over.
#pragma once

#include <memory>

#include "tests/kernels/planes/plane_reference.h"

namespace drnas::test {

class Inputs {
 public:
  explicit Inputs(std::mt19937_64& rng) : rng_(rng) {}
  kernels::ConstPlanes planes(int n, const Doubles& dense) {
    planes_.push_back(std::make_unique<PlaneBuffer>(rng_, n, dense));
    return *planes_.back();
  }
  float* array(const Doubles& values) {
    arrays_.push_back(std::make_unique<Guarded>(values));
    return arrays_.back()->data();
  }

 private:
  std::mt19937_64& rng_;
  std::vector<std::unique_ptr<PlaneBuffer>> planes_;
  std::vector<std::unique_ptr<Guarded>> arrays_;
};

/// Statistics of c channels between guard zones; running ones start at 0.5 and 2.
struct StatisticsBuffer {
  Guarded mean, inv_std, running_mean, running_var;

  explicit StatisticsBuffer(int c)
      : mean(c), inv_std(c), running_mean(Doubles(c, 0.5)), running_var(Doubles(c, 2.0)) {}
  kernels::PlaneStatistics all() { return {mean, inv_std, running_mean, running_var}; }
  kernels::PlaneStatistics batch() { return {mean, inv_std, nullptr, nullptr}; }
};

/// The same of statistics in guarded buffers.
inline void check_statistics(const PlaneShape& s, const Doubles& x, const kernels::NormMode& mode,
                             const StatisticsBuffer& got) {
  check_statistics(s, x, mode,
                   {got.mean.doubles(), got.inv_std.doubles(), got.running_mean.doubles(),
                    got.running_var.doubles()});
}

}  // namespace drnas::test
