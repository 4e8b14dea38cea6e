// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/parameters/parameters.h"
#include "kernels/core/gate_rows.h"
#include "kernels/planes/skip_dropout.h"

namespace drnas {

class SearchSpace;

/// What happens to raw outputs between the forward and the backward pass: kept, the cheap ones
/// rebuilt from the nodes (NAS-Bench-201: those of 1x1 convolutions, a tenth of the FLOPs and two
/// fifths of the bytes; DARTS space: those of pools, and all of the cells before the first
/// reduction, a third of the FLOPs and two thirds of the bytes), or all rebuilt. The results are
/// the same bit by bit.
enum class RawOutputs { store, rebuild_1x1, rebuild };
/// store, rebuild-1x1, rebuild.
const char* to_string(RawOutputs mode);

/// Size of a supernet.
struct SupernetOptions {
  int channels = 16;  ///< C of the first cells
  int cells = 5;      ///< as the space counts them: see SpaceFacts::cells
  int classes = 10;
  int partial_channels = 1;  ///< K: candidate operations see C/K channels
  RawOutputs raw_outputs = RawOutputs::rebuild_1x1;
  DType storage = DType::f32;  ///< of activations and their gradients from the stem's output on;
                               ///< bf16 needs CUDA and a space that can (SpaceFacts)
  const SearchSpace* space = nullptr;
  /// [rows, columns] like theta: 1 for the candidate operations that exist, 0 for those that are
  /// pruned; empty: all exist.
  std::vector<std::uint8_t> kept = {};
  bool none = false;           ///< `none` is a candidate too, where the space leaves the choice
  int rebuild_cells = 0;       ///< of so many cells, from the first on, all raw outputs are rebuilt
  bool imagenet_stem = false;  ///< three convolutions of stride 2 first, where the space has them
  /// theta has a further column: what the channels that bypass an edge's operations are weighed by
  /// (PC-DARTS), 1 where it is absent.
  bool edge_weights = false;
};

/// Which candidate operations a pass runs. `weighted`: those whose mixing weight is not zero; the
/// others leave their running statistics and get no gradient. `gates`: the same, and the mixing
/// weights of the others count as numbers added to the node, whose derivative they get (GDAS, Dong
/// and Yang, CVPR 2019).
enum class OperationsRun { all, weighted, gates };

/// How a forward pass runs.
struct SupernetPass {
  bool training = true;  ///< batch statistics normalise and running ones move; else running ones
                         ///< normalise
  OperationsRun run = OperationsRun::all;
  /// On the CPU, where not all run: [rows, columns] like theta, 1 for those that do. They cost what
  /// they use. Null on CUDA, where the weights are read on the device.
  const std::vector<std::uint8_t>* active = nullptr;
  kernels::SkipDropout dropout = {};  ///< of identities, in spaces that have it (SpaceFacts)

  // NOLINTNEXTLINE(google-explicit-constructor): most passes are only one or the other
  SupernetPass(bool training = true) : training(training) {}
  SupernetPass(bool training, OperationsRun run, const std::vector<std::uint8_t>* active)
      : training(training), run(run), active(active) {}
};

/// A network that contains every architecture of a search space: mixing weights theta [rows,
/// columns] weigh the candidate operations of each edge. Pruned operations hold no weights,
/// statistics or activations, and their mixing weights are not read. Parameters carry the published
/// names.
class Supernet {
 public:
  virtual ~Supernet() = default;
  Supernet(const Supernet&) = delete;
  Supernet& operator=(const Supernet&) = delete;

  /// images [n, h, w, 3] -> logits [n, 1, 1, classes].
  virtual Variable forward(Tape& tape, const Variable& images, const Variable& theta,
                           const SupernetPass& pass) const = 0;
  /// Every weight as leaves, for Tape::backward.
  virtual const std::vector<Variable>& leaves() const = 0;

  const SupernetOptions& options() const { return options_; }
  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }

 protected:
  /// Throws Error where K does not divide C, or where `kept` has another length than theta or
  /// leaves an edge without operation.
  Supernet(const SearchSpace& space, const SupernetOptions& options, Device device);
  bool kept(int edge, int operation) const;
  int columns() const { return columns_; }  ///< of theta
  /// The mixing weights of `edges` edges of a node from number `first` on, where not all run.
  kernels::GateRows gate_rows(const SupernetPass& pass, int first, int edges) const;
  /// Index in theta of an operation that is kept and runs in this pass, else -1.
  int theta_index(const SupernetPass& pass, int edge, int operation) const;

  SupernetOptions options_;
  ParameterStore parameters_;

 private:
  int columns_;  // of theta
};

/// Of options.space; allocates and initialises all weights.
std::unique_ptr<Supernet> make_supernet(const SupernetOptions& options, std::uint64_t seed,
                                        Device device = Device::cpu);

}  // namespace drnas
