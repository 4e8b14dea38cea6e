// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor.h"
#include "kernels/alpha/mixing.h"

namespace drnas {

/// The architecture parameters alpha [edges, operations] in float64, and what of them is pruned.
struct Alpha {
  int edges, ops;
  Tensor values, gradient;  ///< [1, 1, edges, ops], float64
  Tensor kept;              ///< [1, 1, edges, ops] uint8: 0 for pruned operations; empty: none is

  /// values = 1e-3 N(0, 1) from the Philox stream (seed, mixing).
  Alpha(int edges, int ops, std::uint64_t seed, Device device);
  /// Leaves the operations whose entry of `now_kept` is 0 out of every mixture from now on: their
  /// alpha rests at zero.
  void prune(const std::vector<std::uint8_t>& now_kept);

  Device device() const { return values.device(); }
  const std::uint8_t* kept_data() const {
    return kept.empty() ? nullptr : kept.data<std::uint8_t>();
  }
  /// One entry for each of values; all 1 where nothing is pruned.
  std::vector<std::uint8_t> kept_entries() const;
  /// Gives every set a uniform distribution: where weights of the simplex start.
  void start_uniform(const std::vector<kernels::EntrySet>& sets);
  /// A float64 table of alpha's shape, zero.
  Tensor make_table() const;
  /// Row-major [edges][ops].
  std::vector<std::vector<double>> rows(const Tensor& table) const;
};

/// Entry sets for kernels, and the same on a device.
Tensor upload_sets(const std::vector<kernels::EntrySet>& sets, Device device);
kernels::EntrySets entry_sets(const Tensor& uploaded);

/// Sets the entries of a float64 table to zero whose entry of `kept` is 0.
void zero_pruned(const std::vector<std::uint8_t>& kept, const Tensor& table);

}  // namespace drnas
