// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/parameters/parameters.h"
#include "nas/space/genotype.h"

namespace drnas {

/// A network of derived cells, to be trained from scratch.
struct DerivedOptions {
  Genotype genotype;
  int channels = 36;  ///< C of the first cells
  int layers = 20;    ///< cells, as the space counts them: see SpaceFacts::cells
  int classes = 10;
  int image_size = 32;     ///< pixels
  bool imagenet = false;   ///< stem of three stride-2 convolutions and its auxiliary head
  bool auxiliary = false;  ///< auxiliary head after the cell at two thirds of the depth
};

/// How a forward pass runs.
struct DerivedPass {
  bool training = true;
  /// Drop path (Larsson et al., ICLR 2017): each image loses each operation but the identity with
  /// this probability; [1] float32 in the device's memory, read where `training`; empty: none.
  Tensor drop_path = {};
  /// [1] uint32 in the device's memory: number of the draw.
  Tensor step = {};
};

/// What a network costs.
struct NetworkCost {
  std::int64_t parameters = 0, parameters_with_auxiliary = 0;
  std::int64_t multiply_adds = 0;  ///< of one image's forward pass: convolutions and classifier
};

class DerivedNetwork {
 public:
  struct Logits {
    Variable main;       ///< [n, 1, 1, classes]
    Variable auxiliary;  ///< the same; empty without auxiliary head and in evaluation
  };
  virtual ~DerivedNetwork() = default;
  /// images [n, h, w, 3].
  virtual Logits forward(Tape& tape, const Variable& images, const DerivedPass& pass) const = 0;
  virtual NetworkCost cost() const = 0;
  /// Parameters carry the published names.
  virtual ParameterStore& parameters() = 0;
  /// Every weight as leaves, for Tape::backward.
  virtual const std::vector<Variable>& leaves() const = 0;
};

/// Of the genotype's space: see SearchSpace::make_network().
std::unique_ptr<DerivedNetwork> make_derived_network(const DerivedOptions& options,
                                                     std::uint64_t seed,
                                                     Device device = Device::cpu);

}  // namespace drnas
