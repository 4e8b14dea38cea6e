// SPDX-License-Identifier: MIT
#include "engine/ops/plane_bundle_state.h"
#include "kernels/planes/conv1x1_planes.h"
#include "kernels/planes/plane_norm.h"

namespace drnas {
namespace {

int as_int(std::int64_t extent) { return static_cast<int>(extent); }

/// Adds the shares of x's gradient one by one: the first to write its channels overwrites.
class PlaneBundleBackward {
 public:
  PlaneBundleBackward(Tape& tape, const PlaneBundleState& state) : tape_(tape), state_(state) {
    if (const GradientSlot slot = tape.slot(state.x)) {
      dx_ = slot.tensor.channels(0, state.c());
      const std::int64_t rest = state.in().c - state.c();
      if (rest) rest_ = slot.tensor.channels(state.c(), rest);
      written_ = rest_written_ = slot.accumulate();
    }
  }

  template <Device D>
  void run() {
    if (!dx_.empty()) {
      sources<D>();
      pools<D>();
    }
    separable<D>();
    reductions<D>();
    // No candidate may read the mixed channels at all.
    if (!dx_.empty() && !written_) fill_zero(dx_);
  }

 private:
  /// Which of an edge's coefficients belong to the raw output in this row.
  kernels::PlaneGradient gradient(int edge, int row) const {
    const PlaneBundleState::EdgeGradient& from = state_.gradients[edge];
    std::int64_t place = 0;
    for (const PlaneTerm& term : state_.terms(edge)) {
      if (term.row == row)
        return {const_planes_of(from.dy), state_.parts(),
                from.coefficients.data() + 3 * place * state_.c(), state_.gate(term.theta)};
      ++place;
    }
    throw Error("bundle " + state_.token.name() + ": no candidate " + std::to_string(row));
  }

  /// Identities and bypasses.
  template <Device D>
  void sources() {
    const bool pooled = state_.parameters.stride == 2;
    if (pooled && rest_.empty()) return;
    kernels::PlaneSourceGradient g{};
    g.n = as_int(state_.in().n);
    g.pixels = state_.out_h() * state_.out_w();
    g.c = state_.c();
    g.channels = as_int(state_.in().c);
    g.edges = as_int(state_.gradients.size());
    g.theta = state_.theta.value().data<double>();
    g.dropout = state_.parameters.dropout;
    g.zeros_rest = !state_.parameters.gate_theta.empty();
    for (int e = 0; e < g.edges; ++e) {
      g.dy[e] = const_planes_of(state_.gradients[e].dy);
      g.skip_theta[e] = state_.parameters.edges[e].skip_theta;
      g.skip[e] = state_.parameters.edges[e].skip;
      g.bypass_theta[e] = state_.parameters.edges[e].bypass_theta;
    }
    Tensor dbypass;
    if (!pooled) {
      g.dx = planes_of(dx_);
      g.accumulate_x = written_;
      written_ = true;
      if (!rest_.empty()) g.dbypass = planes_of(rest_);
      g.accumulate_bypass = rest_written_;
    } else {
      dbypass = state_.planes(rest_.shape().c, MemoryTag::workspace);
      g.dbypass = planes_of(dbypass);
    }
    execute([&] { kernels::plane_source_gradient<D>(g, compute_stream(D)); });
    if (pooled) unpool<D>(dbypass);
  }

  template <Device D>
  void unpool(const Tensor& dbypass) {
    const Shape in = state_.in(), rest = rest_.shape();
    kernels::PlanePoolBackward b{};
    b.pool = {as_int(in.n), as_int(rest.c), as_int(in.h), as_int(in.w), 2, 2, 0, true};
    b.x = const_planes_of(state_.x.value().channels(state_.c(), rest.c));
    b.pooled = const_planes_of(state_.bypass);
    b.edges = 1;
    b.gradient[0].g = const_planes_of(dbypass);
    b.dx = planes_of(rest_);
    b.accumulate = rest_written_;
    execute([&] { kernels::plane_pool_backward<D>(b, compute_stream(D)); });
  }

  /// What the pool in one row adds to dx.
  kernels::PlanePoolBackward pool(int row, bool max) {
    const Shape in = state_.in();
    kernels::PlanePoolBackward b{};
    b.pool = {as_int(in.n), state_.c(), as_int(in.h), as_int(in.w), 3, state_.parameters.stride, 1,
              max};
    b.x = const_planes_of(state_.x.value());
    b.pooled = const_planes_of(state_.block(row));
    for (int e = 0; e < as_int(state_.gradients.size()); ++e) {
      const PlaneBundleEdge& edge = state_.parameters.edges[e];
      if ((max ? edge.max_pool_theta : edge.average_pool_theta) >= 0)
        b.gradient[b.edges++] = gradient(e, row);
    }
    b.dx = planes_of(dx_);
    b.accumulate = written_;
    written_ = true;
    return b;
  }

  /// Both together where both are there.
  template <Device D>
  void pools() {
    std::vector<kernels::PlanePoolBackward> calls;
    for (const bool max : {true, false})
      if (const int row = state_.pools[max ? 0 : 1]; row >= 0) calls.push_back(pool(row, max));
    execute([&] {
      if (calls.size() == 2)
        kernels::plane_pools_backward<D>(calls[0], calls[1], compute_stream(D));
      else if (!calls.empty())
        kernels::plane_pool_backward<D>(calls[0], compute_stream(D));
    });
  }

  /// Runs what has been collected.
  template <Device D>
  void flush(kernels::SeparableBackward& b) {
    if (b.shape.filters) {
      const Tensor scratch = workspace(D, kernels::separable_backward_workspace<D>(b.shape));
      execute([&] { kernels::separable_backward<D>(b, scratch.data(), compute_stream(D)); });
    }
    b.shape.filters = 0;
  }

  /// Describes one filter, all but its gradient.
  int add(kernels::SeparableBackward& b, const PlaneBundleState::Filter& filter, bool second_half) {
    const int k = b.shape.filters++;
    b.filter[k] = state_.filter_of(filter, second_half);
    b.z[k] = const_planes_of(state_.block(second_half ? filter.second : filter.first));
    const SeparableCandidate::Half& half = state_.candidate(filter).halves[second_half ? 1 : 0];
    const auto wanted = [&](const Variable& weight) {
      return tape_.wants(weight) ? tape_.sole_slot(weight).data() : nullptr;
    };
    b.ddepthwise[k] = wanted(half.depthwise);
    b.dpointwise[k] = wanted(half.pointwise);
    b.input_coefficients[k] = nullptr;
    b.dx[k] = {};
    return k;
  }

  /// Second halves first; their inputs' gradients and coefficients lead to the first halves.
  template <Device D>
  void separable() {
    Tensor between, coefficients;
    if (state_.second_blocks) {
      between =
          state_.planes(std::int64_t{state_.second_blocks} * state_.c(), MemoryTag::workspace);
      coefficients = Tensor({1, state_.second_blocks, 3, state_.c()}, MemoryTag::workspace, D);
    }
    const auto place = [&](const PlaneBundleState::Filter& f) {
      return std::int64_t{f.second - state_.first_blocks};
    };
    const auto coefficients_of = [&](const PlaneBundleState::Filter& f) {
      return coefficients.data() + 3 * place(f) * state_.c();
    };
    kernels::SeparableBackward b{};
    b.fixed_statistics = !state_.training;
    b.shape = state_.separable_shape(true);
    for (const PlaneBundleState::Filter& filter : state_.filters) {
      if (filter.second < 0) continue;
      const int k = add(b, filter, true);
      b.gradient[k] = gradient(filter.edge, filter.second);
      b.dx[k] = planes_of(between.channels(place(filter) * state_.c(), state_.c()));
      b.input_coefficients[k] = coefficients_of(filter);
      if (b.shape.filters == kernels::Separable::max_filters) flush<D>(b);
    }
    flush<D>(b);
    b.shape = state_.separable_shape(false);
    b.accumulate = written_;
    for (const PlaneBundleState::Filter& filter : state_.filters) {
      const int k = add(b, filter, false);
      if (filter.second < 0)
        b.gradient[k] = gradient(filter.edge, filter.first);
      else
        b.gradient[k] = {const_planes_of(between.channels(place(filter) * state_.c(), state_.c())),
                         1, coefficients_of(filter), state_.gate(state_.candidate(filter).theta)};
      if (!dx_.empty()) b.dx[k] = planes_of(dx_);
      if (b.shape.filters == kernels::Separable::max_filters) {
        flush<D>(b);
        b.accumulate = true;
      }
    }
    flush<D>(b);
    written_ = written_ || !state_.filters.empty();
  }

  template <Device D>
  void reductions() {
    const Shape in = state_.in();
    const kernels::PlaneNorm norm{as_int(in.n), state_.c(), state_.out_h() * state_.out_w()};
    for (int e = 0; e < as_int(state_.reductions.size()); ++e) {
      const int row = state_.reductions[e], half = state_.c() / 2;
      if (row < 0) continue;
      const FactorizedReduction& reduction = *state_.parameters.edges[e].reduction;
      const Tensor dz = state_.planes(state_.c(), MemoryTag::workspace);
      kernels::Conv1x1Backward b{};
      b.shape = {as_int(in.n), state_.c(), as_int(in.h), as_int(in.w), true, 2, 2,
                 {half, half}, {0, 1}};
      b.x = const_planes_of(state_.x.value());
      const Variable* weights[] = {&reduction.conv_1, &reduction.conv_2};
      for (int k = 0; k < 2; ++k) {
        b.weight[k] = weights[k]->value().data();
        b.dy[k] = const_planes_of(dz.channels(std::int64_t{k} * half, half));
        if (tape_.wants(*weights[k])) b.dweight[k] = tape_.sole_slot(*weights[k]).data();
      }
      b.gate = state_.gate(reduction.theta);
      if (!dx_.empty()) b.dx = planes_of(dx_);
      b.accumulate = written_;
      written_ = true;
      const Tensor scratch = workspace(D, kernels::conv1x1_backward_workspace<D>(b.shape));
      execute([&] {
        kernels::plane_gradient<D>(norm, gradient(e, row), const_planes_of(state_.block(row)),
                                   planes_of(dz), compute_stream(D));
        kernels::conv1x1_backward<D>(b, scratch.data(), compute_stream(D));
      });
    }
  }

  Tape& tape_;
  const PlaneBundleState& state_;
  Tensor dx_, rest_;  // mixed and bypassing channels of x's gradient; empty where unwanted
  bool written_ = false, rest_written_ = false;
};

}  // namespace

void run_plane_bundle_backward(Tape& tape, const PlaneBundleState& state) {
  PlaneBundleBackward backward(tape, state);
  dispatch(tape.device(), [&]<Device D>() { backward.run<D>(); });
}

}  // namespace drnas
