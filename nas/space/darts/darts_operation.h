// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "nas/space/network_builder.h"

namespace drnas {

/// One operation of a derived cell; of its members those that its kind needs.
struct DartsOperation {
  enum class Kind { none, identity, reduction, pool, separable, rectangular };
  std::string name;
  Kind kind = Kind::none;
  int stride = 1;
  SeparableOperation separable = {};
  bool max_pool = false;
  std::vector<Variable> weights = {};  // two convolutions
  NormParameters norm = {};

  /// Drop path can drop it.
  bool drops() const { return kind != Kind::none && kind != Kind::identity; }
};

/// `op` by its published name, `c` channels in and out.
DartsOperation build_darts_operation(NetworkBuilder& builder, const std::string& name,
                                     const std::string& op, int c, int stride);
/// Adds its result to a node.
void run_darts_operation(Tape& tape, const DartsOperation& operation, const Variable& x,
                         const Summand& to, bool training);

}  // namespace drnas
