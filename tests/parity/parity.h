// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include "engine/tensor.h"

namespace drnas::parity {

/// Largest relative error of each group of tensors: ||out - reference|| / ||reference||; for
/// gradients of weights the denominator is at least 1e-3 of the norm of all of them.
using Errors = std::map<std::string, double>;

/// The larger of both, where NaN is larger than anything and stays.
inline void keep_worst(double& worst, double error) {
  if (std::isnan(error) || error > worst) worst = error;
}

/// How a reference file is replayed.
struct Setting {
  Device device = Device::cpu;
  DType storage = DType::f32;  ///< of NAS-Bench-201 activations
  /// 0: from the file's weights; else each weight times 1 + e, e normal of deviation 2^-22, drawn
  /// from this seed. A ReLU whose input rounds to about zero has no certain side, and its gradient
  /// may be there or not: such a reference is reached from some of these starts, while a wrong
  /// gradient is wrong from all.
  unsigned nudge = 0;
};

/// Replays the reference file of a search network: one training forward and backward with given
/// weights and mixing weights, one evaluation forward, then (NAS-Bench-201) the recorded
/// architecture and weight steps. Throws Error for a file of another kind.
Errors replay_supernet(const std::filesystem::path& file, const Setting& setting = {});

/// The same for a file of the DARTS space.
Errors replay_darts_search(const std::filesystem::path& file, const Setting& setting = {});

/// Replays the reference file of a network of derived DARTS cells: one training forward and
/// backward of the loss with the auxiliary head's share, one evaluation forward.
Errors replay_derived(const std::filesystem::path& file, const Setting& setting = {});

/// Replays a single piece of a method, which the file's metadata `case` names: scalar gates,
/// gradients in evaluation mode, weights of edges, a second-order step, whole steps.
Errors replay_method(const std::filesystem::path& file, const std::string& piece,
                     const Setting& setting = {});

/// Replays whole steps of the method that the metadata `method` names, its draws included: what
/// they do to alpha, to the weights (moves against a tenth of the norm of all) and to running
/// statistics.
Errors replay_steps(const std::filesystem::path& file, const Setting& setting = {});

/// Replays a reference file by the kind of network that it names.
Errors replay(const std::filesystem::path& file, const Setting& setting = {});

/// The largest of all groups'.
double worst_of(const Errors& errors);

/// From the file's weights, and where that is too far from its results from weights within their
/// rounding (Setting::nudge); the closest, and from where.
struct Closest {
  Errors errors;
  unsigned nudge = 0;
};
Closest replay_closest(const std::filesystem::path& file, Setting setting, double allowed);

/// Compares the derivative of a Beta sample with every row of a table x,a,b,...,dx_da.
Errors replay_beta(const std::filesystem::path& file);

}  // namespace drnas::parity
