// SPDX-License-Identifier: MIT
// What one candidate operation costs in a derived network, and how to run it alone.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/tape.h"

namespace drnas {

/// Where an edge's operation runs: on an input of `channels` times `pixels` times `pixels`, with
/// `stride`, and as many channels out.
struct OperationShape {
  int channels, pixels, stride;
  auto operator<=>(const OperationShape&) const = default;
};
/// The same in `cells` cells of a network.
struct EdgeShape {
  OperationShape shape;
  int cells;
};

/// Of one operation; multiply-adds of one image's forward pass.
struct OperationCost {
  std::int64_t multiply_adds = 0, parameters = 0;
};

/// One operation of a derived network with weights of its own, for measuring it.
class SingleOperation {
 public:
  virtual ~SingleOperation() = default;
  /// `input`, laid out as by input(): a forward pass in evaluation mode, whose result is added to a
  /// node.
  virtual void run(Tape& tape, const Variable& input) const = 0;
  /// Memory for images in the layout that run() reads.
  virtual Tensor input(int images) const = 0;
};

}  // namespace drnas
