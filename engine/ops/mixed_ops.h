// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "engine/tape.h"
#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/node_mix.h"

namespace drnas {

/// The two halves of a mixed cell (see kernels/bundle/conv_bundle.h and kernels/bundle/node_mix.h).
/// A bundle runs all candidate convolutions that leave a node, which need not be the same on every
/// edge, nor any at all; a node mix makes a node from everything that enters it. The gradient of a
/// bundle's raw outputs is never a tensor: the node mix leaves, per edge, the destination's
/// gradient and three coefficients a channel, and the bundle's backward pass applies them image by
/// image.

/// Parameters of one outgoing bundle.
struct BundleParameters {
  std::vector<int> kernels;   ///< kernel sizes that some edge has, e.g. {1, 3}
  std::vector<bool> rebuild;  ///< per size: rebuild the raw outputs in backward instead of keeping
                              ///< them; empty: keep all
  std::vector<Variable> weights;     ///< per size [count*c, k, k, c] for the edges that have it
  std::vector<Tensor> running_mean;  ///< per size [count*c]
  std::vector<Tensor> running_var;
  int edges = 1;
  int channels = 1;                        ///< c: mixed channels, of every edge's input and output
  std::vector<std::uint8_t> present = {};  ///< per size, bit e: edge e has it; empty: all have all
  /// What of this runs in one pass: per size, bit e: edge e's convolution runs; empty: all do. The
  /// others cost nothing, their running statistics stay, and their weights' gradient is zero. On
  /// the CPU alone.
  std::vector<std::uint8_t> active = {};
  /// The same for a step that is recorded: per size the mixing weights of its rows by their index
  /// in `gate_theta`, which kernels read. Empty: all run.
  std::vector<std::vector<int>> gates = {};
  Tensor gate_theta = {};
};

struct BundleState;
/// What a bundle hands to the node mixes: raw outputs with their statistics, and the slots for the
/// edges' gradients.
class Bundle {
 public:
  const Variable& source() const;  ///< the node it reads
  /// Says that all node mixes have read the raw outputs: those to be rebuilt are freed until
  /// backward needs them.
  void release() const;

 private:
  friend Bundle conv_bundle(Tape&, const std::string&, const Variable&, const BundleParameters&,
                            bool);
  friend Bundle evaluated_bundle(Tape&, const std::string&, const Variable&,
                                 const BundleParameters&, const struct BundleTheta&);
  friend Variable node_mix(Tape&, const std::string&, const struct NodeMixInputs&, const Variable&);
  std::shared_ptr<BundleState> state_;
};

/// Convolves relu(x) (first `channels` channels) for the outgoing edges. Saves x, the raw outputs
/// and their statistics. Its backward pass gives the whole gradient of x: convolutions, identity,
/// pool and bypass of all edges that leave x. Without `training` the running statistics normalise,
/// and no gradient goes through them.
Bundle conv_bundle(Tape& tape, const std::string& name, const Variable& x,
                   const BundleParameters& parameters, bool training);

/// The mixing weights of a bundle's convolutions: of each edge and kernel size the index in theta,
/// -1 where the edge lacks the size.
struct BundleTheta {
  Variable theta;  ///< float64
  std::vector<std::vector<int>> index;
};
/// The same for evaluation, with the mixing weights that the node mixes will use: on CUDA they and
/// batch norm are folded into the weights, and each edge has one convolution in place of all sizes.
/// All operations run. On a tape that records, and on the CPU, as conv_bundle().
Bundle evaluated_bundle(Tape& tape, const std::string& name, const Variable& x,
                        const BundleParameters& parameters, const BundleTheta& theta);

/// One edge into a node: which bundle, which of its edges, and the indices of its ops' mixing
/// weights in theta, -1 for an op that the edge lacks.
struct NodeMixEdge {
  Bundle bundle;
  int edge;                     ///< within the bundle
  std::vector<int> conv_theta;  ///< per kernel size of the bundle
  int skip_theta = -1, pool_theta = -1;
  int bypass_theta = -1;  ///< of the weight of the bypassed channels; -1: they pass as they are
};
struct NodeMixInputs {
  std::vector<NodeMixEdge> edges;
  /// Only bundles read the result: with partial channels on CUDA it lies apart, so that they read
  /// contiguous memory.
  bool for_bundles = false;
  /// One bundle reads the result, on the same tape and before anything else, and before the edges'
  /// bundles are released. On CUDA it then may make the node with its own forward pass, until which
  /// the value is undefined, and reduce it with its own backward pass.
  bool joins_bundle = false;
  kernels::GateRows gates = {};
};
/// The node from its incoming edges; the bypassed channels pass on every edge, whichever ops it
/// has. An edge whose convolution does not run in this pass has -1 for it. Throws Error where an
/// edge and its bundle disagree about a convolution, from the bundle where it makes the node.
/// theta: float64 mixing weights. Saves nothing of its own but coefficients.
Variable node_mix(Tape& tape, const std::string& name, const NodeMixInputs& inputs,
                  const Variable& theta);

}  // namespace drnas
