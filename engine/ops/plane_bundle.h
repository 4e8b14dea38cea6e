// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/ops/plane_ops.h"
#include "kernels/core/gate_rows.h"
#include "kernels/planes/skip_dropout.h"

namespace drnas {

/// The two halves of a mixed cell of the DARTS space, on planes: a bundle runs every candidate
/// operation that leaves a state, on all its outgoing edges; a node mix
/// (kernels/planes/plane_mix.h) makes a state from everything that enters it. Normalised outputs
/// never exist, and the gradient of a raw output is never a tensor: see engine/ops/mixed_ops.h,
/// which does the same for NAS-Bench-201.

struct RunningStatistics {
  Tensor mean, var;  ///< [c]
};

/// A depthwise-separable candidate: one half (dilated) or two (sep_conv), the first with the edge's
/// stride.
struct SeparableCandidate {
  struct Half {
    Variable depthwise, pointwise;  ///< [c, kernel, kernel, 1], [c, 1, 1, c]
    RunningStatistics running;
  };
  int kernel = 3, dilation = 1;
  std::vector<Half> halves;
  int theta = -1;  ///< index of its mixing weight
};

/// skip_connect at stride 2: two convolutions of half the width, the second shifted by one pixel.
struct FactorizedReduction {
  Variable conv_1, conv_2;  ///< [c/2, 1, 1, c]
  RunningStatistics running;
  int theta = -1;
};

/// The candidates of one outgoing edge; -1 and nothing stand for an operation that is absent.
struct PlaneBundleEdge {
  std::vector<SeparableCandidate> separable;
  std::optional<FactorizedReduction> reduction;
  int skip_theta = -1;    ///< identity; stride 1 only
  int skip = 0;           ///< number of the identity in the network, for dropout
  int bypass_theta = -1;  ///< of the weight of the bypassed channels; -1: they pass as they are
  int max_pool_theta = -1, average_pool_theta = -1;
};

struct PlaneBundleParameters {
  int channels = 1;  ///< c: mixed channels, of every edge's input and output
  int stride = 1;
  bool rebuild = false;        ///< raw outputs: rebuild in backward instead of keeping them
  bool rebuild_pools = false;  ///< those of pools alone
  std::vector<PlaneBundleEdge> edges;
  RunningStatistics max_pool, average_pool;  ///< one normalisation serves all edges
  /// The mixing weights, where operations of weight zero do not run, on CUDA, whose steps are
  /// recorded for all draws and whose kernels read them. A pool, which several edges share, runs
  /// where one of theirs is not zero.
  Tensor gate_theta = {};
  kernels::SkipDropout dropout = {};  ///< of identities
};

struct PlaneBundleState;
class PlaneBundle {
 public:
  /// Says that all node mixes have read the raw outputs: those to be rebuilt are freed until
  /// backward needs them.
  void release() const;

 private:
  friend PlaneBundle plane_bundle(Tape&, const std::string&, const Variable&,
                                  const PlaneBundleParameters&, bool);
  friend Variable plane_node(Tape&, const std::string&, const std::vector<struct PlaneNodeEdge>&,
                             const Variable&, const Tensor&, const kernels::GateRows&);
  std::shared_ptr<PlaneBundleState> state_;
};

/// Runs the candidates on the first `channels` channels of x. Saves x, raw outputs and statistics.
/// Its backward pass gives the whole gradient of x. Without `training` the running statistics
/// normalise, and no gradient goes through them.
PlaneBundle plane_bundle(Tape& tape, const std::string& name, const Variable& x,
                         const PlaneBundleParameters& parameters, bool training);

/// One edge into a node: which bundle, and which of its edges.
struct PlaneNodeEdge {
  PlaneBundle bundle;
  int edge;
};
/// The node from its incoming edges, written to `y` (planes of x's channels). theta: float64 mixing
/// weights.
Variable plane_node(Tape& tape, const std::string& name, const std::vector<PlaneNodeEdge>& edges,
                    const Variable& theta, const Tensor& y, const kernels::GateRows& gates = {});

}  // namespace drnas
