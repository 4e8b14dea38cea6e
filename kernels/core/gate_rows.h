// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/host_device.h"

namespace drnas::kernels {

/// Rows of mixing weights, `ops` entries from first[i] on each, of a node whose operations of zero
/// weight do not run: the derivative of such a weight is not that of its operation. It is zero, or
/// where `adds` that of a number added to every mixed value of the node (the gates of GDAS, Dong
/// and Yang, CVPR 2019): the sum of the node's gradient over them.
struct GateRows {
  static constexpr int most = 8;
  int rows = 0, ops = 0;
  int first[most] = {};
  bool adds = false;

  /// Is the derivative of this weight that of its operation?
  DRNAS_HD bool operation_counts(const double* theta, int index) const {
    if (rows == 0 || theta[index] != 0.0) return true;
    for (int i = 0; i < rows; ++i)
      if (index >= first[i] && index < first[i] + ops) return false;
    return true;
  }
  /// Entries in all rows, and the index in theta of number i.
  DRNAS_HD int entries() const { return rows * ops; }
  DRNAS_HD int index(int i) const { return first[i / ops] + i % ops; }
};

}  // namespace drnas::kernels
