// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/host_device.h"

namespace drnas::kernels {

/// Does an operation run whose mixing weight is at `gate`? Null: whatever it is. Where it does not,
/// CUDA's kernels read the weight and leave: what they would have made is not there.
DRNAS_HD inline bool gate_open(const double* gate) { return !gate || *gate != 0.0; }

/// The mixing weights of all operations that one result serves. None: it is made in any case.
struct SharedGates {
  static constexpr int most = 8;
  int count = 0;
  const double* gate[most] = {};

  DRNAS_HD bool open() const {
    for (int i = 0; i < count; ++i)
      if (*gate[i] != 0.0) return true;
    return count == 0;
  }
};

/// Rows of mixing weights, `ops` entries from first[i] on each, of all operations of a node where
/// those of zero weight do not run: the derivative of such a weight is not that of its operation.
/// It is zero, or where `adds` that of a number added to every mixed value of the node (the gates
/// of GDAS, Dong and Yang, CVPR 2019): the sum of the node's gradient over them.
struct GateRows {
  static constexpr int most = 8;
  int rows = 0, ops = 0;
  int first[most] = {};
  bool adds = false;

  /// Does the operation of this weight run, and is the weight's derivative that of the operation?
  /// One without a weight (-1) runs.
  DRNAS_HD bool runs(const double* theta, int index) const {
    return rows == 0 || index < 0 || theta[index] != 0.0;
  }
  /// Entries in all rows, and the index in theta of number i.
  DRNAS_HD int entries() const { return rows * ops; }
  DRNAS_HD int index(int i) const { return first[i / ops] + i % ops; }
};

}  // namespace drnas::kernels
