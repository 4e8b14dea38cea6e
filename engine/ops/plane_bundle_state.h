// SPDX-License-Identifier: MIT
#pragma once

#include "engine/ops/plane_bundle.h"
#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "kernels/planes/plane_mix.h"
#include "kernels/planes/plane_pool.h"
#include "kernels/planes/separable.h"

/// What a bundle of the DARTS space keeps between forward and backward, for the two files that
/// implement it.
namespace drnas {

/// A normalised candidate of one edge, as the node mix sees it.
struct PlaneTerm {
  Tensor z;  // raw output
  int row;   // of its statistics
  int theta;
};

struct PlaneBundleState {
  /// One separable candidate; its raw outputs are blocks of the bundle's tensors.
  struct Filter {
    int edge, candidate;
    int first;        // block of the first half
    int second = -1;  // block of the second half
  };
  struct EdgeGradient {
    Tensor dy;            // of the destination
    Tensor coefficients;  // [terms, 3, c]
  };

  PlaneBundleParameters parameters;
  Variable x, token;  // the token stands on the tape for all raw outputs together
  Variable theta;     // of the node mixes
  std::vector<Filter> filters;
  int pools[2] = {-1, -1};      // blocks: maximum, average
  std::vector<int> reductions;  // block of each edge's reduction, or -1
  int first_blocks = 0, second_blocks = 0, pool_blocks = 0;
  Tensor first, second, pooled;  // blocks of c planes
  Tensor bypass;                 // pooled channels that bypass the candidates, at stride 2
  Tensor statistics;             // [blocks, 2, c]: mean, 1/std
  std::vector<EdgeGradient> gradients;
  bool training = true;

  int c() const { return parameters.channels; }
  int parts() const { return static_cast<int>(x.value().shape().c) / c(); }
  Shape in() const { return x.value().shape(); }
  std::int64_t out_h() const { return (in().h - 1) / parameters.stride + 1; }
  std::int64_t out_w() const { return (in().w - 1) / parameters.stride + 1; }
  bool pool_wanted(bool max) const;
  const SeparableCandidate& candidate(const Filter& filter) const {
    return parameters.edges[filter.edge].separable[filter.candidate];
  }
  Tensor block(int row) const {
    const int pool = row - first_blocks - second_blocks;
    return row < first_blocks ? first.channels(std::int64_t{row} * c(), c())
           : pool < 0         ? second.channels(std::int64_t{row - first_blocks} * c(), c())
                              : pooled.channels(std::int64_t{pool} * c(), c());
  }
  /// Of an operation by the index of its mixing weight; null where all run, or it has none.
  const double* gate(int theta) const {
    const Tensor& gates = parameters.gate_theta;
    return gates.empty() || theta < 0 ? nullptr : gates.data<double>() + theta;
  }
  float* mean(int row) const { return statistics.data() + std::int64_t{2} * row * c(); }
  float* inv_std(int row) const { return mean(row) + c(); }
  Tensor planes(std::int64_t channels, MemoryTag tag) const {
    return Tensor({in().n, out_h(), out_w(), channels}, tag, x.value().device(), DType::f32,
                  Layout::planes);
  }
  /// The candidates of an edge that the node mix adds up, in the order of its coefficients.
  std::vector<PlaneTerm> terms(int edge) const;
  kernels::Separable separable_shape(bool second_half) const;
  kernels::SeparableFilter filter_of(const Filter& filter, bool second_half) const;
};

/// Those raw outputs that are not there, and their statistics, from x. `running`: move or, in
/// evaluation, use the running statistics.
void run_plane_bundle(PlaneBundleState& state, bool running);
/// Everything that reads x, given the gradients that the node mixes left.
void run_plane_bundle_backward(Tape& tape, const PlaneBundleState& state);

}  // namespace drnas
