// SPDX-License-Identifier: MIT
#include "engine/ops/plane_bundle.h"

#include "engine/ops/plane_bundle_state.h"
#include "kernels/planes/conv1x1_planes.h"
#include "kernels/planes/plane_norm.h"

namespace drnas {
namespace {

int as_int(std::int64_t extent) { return static_cast<int>(extent); }

void check(const std::string& name, const Shape& x, const PlaneBundleParameters& p) {
  if (p.channels < 1 || x.c % p.channels != 0)
    throw Error(name + ": " + std::to_string(p.channels) + " mixed channels do not divide input " +
                to_string(x));
  if (p.stride != 1 && (p.stride != 2 || x.h % 2 != 0 || x.w % 2 != 0))
    throw Error(name + ": stride " + std::to_string(p.stride) + " on " + to_string(x) +
                ", expected 1, or 2 on an even number of rows and columns");
}

/// Gives every raw output its block.
void lay_out(PlaneBundleState& state) {
  const PlaneBundleParameters& p = state.parameters;
  for (int e = 0; e < as_int(p.edges.size()); ++e)
    for (int i = 0; i < as_int(p.edges[e].separable.size()); ++i)
      state.filters.push_back({e, i, state.first_blocks++});
  for (const PlaneBundleEdge& edge : p.edges)
    state.reductions.push_back(edge.reduction ? state.first_blocks++ : -1);
  for (PlaneBundleState::Filter& filter : state.filters)
    if (state.candidate(filter).halves.size() > 1)
      filter.second = state.first_blocks + state.second_blocks++;
  for (const bool max : {true, false})
    if (state.pool_wanted(max))
      state.pools[max ? 0 : 1] = state.first_blocks + state.second_blocks + state.pool_blocks++;
}

/// `theta`: of the operation's mixing weight; -1 where several share the statistics.
kernels::PlaneStatistics statistics_of(const PlaneBundleState& state, int row,
                                       const RunningStatistics& running, bool use_running,
                                       int theta) {
  const double* gate = state.gate(theta);
  if (!use_running) return {state.mean(row), state.inv_std(row), nullptr, nullptr, gate};
  return {state.mean(row), state.inv_std(row), running.mean.data(), running.var.data(), gate};
}

void run_separable(const PlaneBundleState& state, bool second_half, bool running) {
  kernels::SeparableForward f{};
  f.shape = state.separable_shape(second_half);
  f.mode.training = state.training;
  const auto run = [&] {
    if (f.shape.filters == 0) return;
    dispatch(state.x.value().device(), [&]<Device D>() {
      const Tensor scratch = workspace(D, kernels::separable_forward_workspace<D>(f.shape));
      execute([&] { kernels::separable_forward<D>(f, scratch.data(), compute_stream(D)); });
    });
    f.shape.filters = 0;
  };
  f.shape.filters = 0;
  for (const PlaneBundleState::Filter& filter : state.filters) {
    const int row = second_half ? filter.second : filter.first;
    if (row < 0) continue;
    const int k = f.shape.filters++;
    f.filter[k] = state.filter_of(filter, second_half);
    f.z[k] = planes_of(state.block(row));
    const SeparableCandidate& candidate = state.candidate(filter);
    f.statistics[k] = statistics_of(state, row, candidate.halves[second_half ? 1 : 0].running,
                                    running, candidate.theta);
    if (f.shape.filters == kernels::Separable::max_filters) run();
  }
  run();
}

/// Of all edges that use a pool.
kernels::SharedGates pool_gates(const PlaneBundleState& state, bool max) {
  kernels::SharedGates gates;
  for (const PlaneBundleEdge& edge : state.parameters.edges) {
    const double* gate = state.gate(max ? edge.max_pool_theta : edge.average_pool_theta);
    if (!gate) continue;
    if (gates.count == kernels::SharedGates::most)
      throw Error("bundle of " + state.x.name() + ": more than " +
                  std::to_string(kernels::SharedGates::most) + " edges use a pool");
    gates.gate[gates.count++] = gate;
  }
  return gates;
}

/// Both pools together where both are wanted.
void run_pools(const PlaneBundleState& state, bool running) {
  const Shape in = state.in();
  kernels::PlanePool pool{
      as_int(in.n), state.c(), as_int(in.h), as_int(in.w), 3, state.parameters.stride, 1, true};
  const RunningStatistics* from[] = {&state.parameters.max_pool, &state.parameters.average_pool};
  kernels::Planes y[2];
  kernels::PlaneStatistics statistics[2];
  for (const int k : {0, 1}) {
    if (state.pools[k] < 0) continue;
    y[k] = planes_of(state.block(state.pools[k]));
    statistics[k] = statistics_of(state, state.pools[k], *from[k], running, -1);
  }
  const kernels::NormMode mode{.training = state.training};
  const kernels::ConstPlanes x = const_planes_of(state.x.value());
  const std::array<kernels::SharedGates, 2> gates{pool_gates(state, true),
                                                  pool_gates(state, false)};
  dispatch(state.x.value().device(), [&]<Device D>() {
    if (state.pool_blocks == 2) {
      const Tensor scratch = workspace(D, kernels::plane_pools_workspace<D>(pool));
      execute([&] {
        kernels::plane_pools_forward<D>(pool, x, y, statistics, mode, scratch.data(),
                                        compute_stream(D), gates);
      });
      return;
    }
    const int k = state.pools[0] < 0 ? 1 : 0;
    pool.max = k == 0;
    const Tensor scratch = workspace(D, kernels::plane_pool_workspace<D>(pool));
    execute([&] {
      kernels::plane_pool_forward<D>(pool, x, y[k], statistics[k], mode, scratch.data(),
                                     compute_stream(D), gates[k]);
    });
  });
}

void run_reductions(const PlaneBundleState& state, bool running) {
  const Shape in = state.in();
  const kernels::PlaneNorm norm{as_int(in.n), state.c(), state.out_h() * state.out_w()};
  for (std::size_t e = 0; e < state.reductions.size(); ++e) {
    const int row = state.reductions[e];
    if (row < 0) continue;
    const FactorizedReduction& reduction = *state.parameters.edges[e].reduction;
    const int half = state.c() / 2;
    const Tensor z = state.block(row);
    kernels::Conv1x1Forward f{};
    f.shape = {as_int(in.n), state.c(), as_int(in.h), as_int(in.w), true, 2, 2,
               {half, half}, {0, 1}};
    f.x = const_planes_of(state.x.value());
    f.weight[0] = reduction.conv_1.value().data();
    f.weight[1] = reduction.conv_2.value().data();
    f.y[0] = planes_of(z.channels(0, half));
    f.y[1] = planes_of(z.channels(half, half));
    f.gate = state.gate(reduction.theta);
    dispatch(z.device(), [&]<Device D>() {
      const Tensor scratch = workspace(D, kernels::conv1x1_forward_workspace<D>(f.shape));
      execute([&] { kernels::conv1x1_forward<D>(f, scratch.data(), compute_stream(D)); });
      const Tensor sums = workspace(D, kernels::plane_norm_workspace<D>(norm));
      execute([&] {
        kernels::plane_moments<D>(
            norm, const_planes_of(z),
            statistics_of(state, row, reduction.running, running, reduction.theta),
            {.training = state.training}, sums.data(), compute_stream(D));
      });
    });
  }
}

/// At stride 2 the channels that bypass the candidates are pooled instead of copied.
void run_bypass(PlaneBundleState& state) {
  const Shape in = state.in();
  const int rest = as_int(in.c) - state.c();
  if (state.parameters.stride == 1 || rest == 0) return;
  state.bypass = state.planes(rest, MemoryTag::activations);
  const kernels::PlanePool pool{as_int(in.n), rest, as_int(in.h), as_int(in.w), 2, 2, 0, true};
  dispatch(state.x.value().device(), [&]<Device D>() {
    execute([&] {
      kernels::plane_pool_forward<D>(pool,
                                     const_planes_of(state.x.value().channels(state.c(), rest)),
                                     planes_of(state.bypass), {}, {}, nullptr, compute_stream(D));
    });
  });
}

/// The kernel's description of a node mix, and the coefficients' place of every term.
kernels::PlaneMix describe(const std::string& name, const std::vector<PlaneNodeEdge>& edges,
                           const std::vector<std::shared_ptr<PlaneBundleState>>& states,
                           const Tensor& theta, const kernels::GateRows& gates) {
  const PlaneBundleState& any = *states[0];
  kernels::PlaneMix mix{};
  mix.n = as_int(any.in().n);
  mix.pixels = any.out_h() * any.out_w();
  mix.c = any.c();
  mix.channels = as_int(any.in().c);
  mix.theta = theta.data<double>();
  mix.dropout = any.parameters.dropout;
  mix.gates = gates;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const PlaneBundleState& state = *states[i];
    if (state.c() != mix.c || state.in().c != mix.channels ||
        state.out_h() * state.out_w() != mix.pixels)
      throw Error(name + ": inputs " + to_string(any.in()) + " and " + to_string(state.in()) +
                  " differ");
    for (const PlaneTerm& term : state.terms(edges[i].edge)) {
      if (mix.terms == kernels::PlaneMix::max_terms)
        throw Error(name + ": too many candidate operations");
      mix.term[mix.terms++] = {const_planes_of(term.z), state.mean(term.row),
                               state.inv_std(term.row), term.theta};
    }
    if (mix.sources == kernels::PlaneMix::max_sources) throw Error(name + ": too many edges");
    kernels::PlaneMixSource& source = mix.source[mix.sources++];
    source.x = const_planes_of(state.x.value());
    const PlaneBundleEdge& edge = state.parameters.edges[edges[i].edge];
    source.skip_theta = edge.skip_theta;
    source.skip = edge.skip;
    source.bypass_theta = edge.bypass_theta;
    if (state.parts() > 1)
      source.bypass =
          state.parameters.stride == 1
              ? const_planes_of(state.x.value().channels(state.c(), state.in().c - state.c()))
              : const_planes_of(state.bypass);
  }
  return mix;
}

bool weighs_bypass(const kernels::PlaneMix& mix) {
  return std::any_of(
      mix.source, mix.source + mix.sources,
      [](const kernels::PlaneMixSource& source) { return source.bypass_theta >= 0; });
}

void run_node_backward(Tape& tape, const kernels::PlaneMix& mix, const Tensor& dy,
                       const std::vector<PlaneNodeEdge>& edges,
                       const std::vector<std::shared_ptr<PlaneBundleState>>& states,
                       const Variable& theta) {
  kernels::PlaneMixBackward b{};
  b.mix = mix;
  b.dy = const_planes_of(dy);
  b.fixed_statistics = !states[0]->training;
  int term = 0;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    PlaneBundleState& state = *states[i];
    const int count = as_int(state.terms(edges[i].edge).size());
    const Tensor coefficients({1, std::max(1, count), 3, mix.c}, MemoryTag::statistics,
                              tape.device());
    for (int t = 0; t < count; ++t)
      b.coefficients[term++] = coefficients.data() + std::int64_t{3} * t * mix.c;
    state.gradients[edges[i].edge] = {dy, coefficients};
    state.theta = theta;
    tape.mark_written(state.token);
  }
  if (const GradientSlot slot = tape.slot(theta)) {
    if (!slot.accumulate()) slot.tensor.clear();
    b.dtheta = slot.tensor.data<double>();
  }
  dispatch(tape.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::plane_mix_backward_workspace<D>(mix));
    execute([&] { kernels::plane_mix_backward<D>(b, scratch.data(), compute_stream(D)); });
    if (!b.dtheta || mix.parts() == 1 || !weighs_bypass(mix)) return;
    const Tensor sums = workspace(D, kernels::plane_bypass_workspace<D>(mix));
    execute([&] { kernels::plane_bypass_backward<D>(b, sums.data(), compute_stream(D)); });
  });
}

}  // namespace

bool PlaneBundleState::pool_wanted(bool max) const {
  for (const PlaneBundleEdge& edge : parameters.edges)
    if ((max ? edge.max_pool_theta : edge.average_pool_theta) >= 0) return true;
  return false;
}

std::vector<PlaneTerm> PlaneBundleState::terms(int edge) const {
  std::vector<PlaneTerm> found;
  const auto add = [&](int row, int theta) { found.push_back({block(row), row, theta}); };
  const PlaneBundleEdge& e = parameters.edges[edge];
  for (const Filter& filter : filters)
    if (filter.edge == edge)
      add(filter.second >= 0 ? filter.second : filter.first, candidate(filter).theta);
  if (e.max_pool_theta >= 0) add(pools[0], e.max_pool_theta);
  if (e.average_pool_theta >= 0) add(pools[1], e.average_pool_theta);
  if (e.reduction) add(reductions[edge], e.reduction->theta);
  return found;
}

kernels::Separable PlaneBundleState::separable_shape(bool second_half) const {
  return {as_int(in().n),
          c(),
          as_int(second_half ? out_h() : in().h),
          as_int(second_half ? out_w() : in().w),
          c(),
          second_half ? 1 : parameters.stride,
          0};
}

kernels::SeparableFilter PlaneBundleState::filter_of(const Filter& filter, bool second_half) const {
  const SeparableCandidate& from = candidate(filter);
  const SeparableCandidate::Half& half = from.halves[second_half ? 1 : 0];
  kernels::SeparableFilter to{from.kernel,
                              from.dilation,
                              {const_planes_of(x.value())},
                              half.depthwise.value().data(),
                              half.pointwise.value().data()};
  if (second_half)
    to.in = {const_planes_of(block(filter.first)), mean(filter.first), inv_std(filter.first)};
  return to;
}

void run_plane_bundle(PlaneBundleState& state, bool running) {
  const std::int64_t c = state.c();
  if (state.pooled.empty() && state.pool_blocks) {
    state.pooled = state.planes(state.pool_blocks * c, MemoryTag::activations);
    run_pools(state, running);
  }
  if (!state.first.empty() || state.first_blocks == 0) return;
  if (state.first_blocks)
    state.first = state.planes(state.first_blocks * c, MemoryTag::activations);
  if (state.second_blocks)
    state.second = state.planes(state.second_blocks * c, MemoryTag::activations);
  run_separable(state, false, running);
  run_separable(state, true, running);
  run_reductions(state, running);
}

void PlaneBundle::release() const {
  const PlaneBundleParameters& p = state_->parameters;
  if (p.rebuild) state_->first = state_->second = Tensor();
  if (p.rebuild || p.rebuild_pools) state_->pooled = Tensor();
}

PlaneBundle plane_bundle(Tape& tape, const std::string& name, const Variable& x,
                         const PlaneBundleParameters& parameters, bool training) {
  auto state = std::make_shared<PlaneBundleState>();
  check(name, x.value().shape(), parameters);
  state->parameters = parameters;
  state->x = x;
  state->training = training;
  lay_out(*state);
  const int rows = std::max(1, state->first_blocks + state->second_blocks + state->pool_blocks);
  state->statistics = Tensor({1, rows, 2, state->c()}, MemoryTag::statistics, tape.device());
  state->gradients.resize(parameters.edges.size());
  run_plane_bundle(*state, true);
  run_bypass(*state);
  state->token = Variable(state->statistics, name);
  std::vector<Variable> inputs{x};
  for (const PlaneBundleEdge& edge : parameters.edges) {
    for (const SeparableCandidate& candidate : edge.separable)
      for (const SeparableCandidate::Half& half : candidate.halves) {
        inputs.push_back(half.depthwise);
        inputs.push_back(half.pointwise);
      }
    if (edge.reduction)
      for (const Variable& weight : {edge.reduction->conv_1, edge.reduction->conv_2})
        inputs.push_back(weight);
  }
  tape.record(name, std::move(inputs), state->token, [state](Tape& t) {
    run_plane_bundle_backward(t, *state);
    state->first = state->second = state->pooled = state->bypass = Tensor();
    state->gradients.clear();
  });
  PlaneBundle bundle;
  bundle.state_ = std::move(state);
  return bundle;
}

Variable plane_node(Tape& tape, const std::string& name, const std::vector<PlaneNodeEdge>& edges,
                    const Variable& theta, const Tensor& y, const kernels::GateRows& gates) {
  std::vector<std::shared_ptr<PlaneBundleState>> states;
  for (const PlaneNodeEdge& edge : edges) states.push_back(edge.bundle.state_);
  const Variable node(y, name);
  const kernels::PlaneMix mix = describe(name, edges, states, theta.value(), gates);
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] { kernels::plane_mix_forward<D>(mix, planes_of(y), compute_stream(D)); });
  });
  if (!tape.recording()) return node;
  std::vector<Variable> on_tape{theta};
  for (const auto& state : states) on_tape.push_back(state->token);
  tape.record(name, std::move(on_tape), node, [=](Tape& t) {
    for (const auto& state : states) run_plane_bundle(*state, !state->training);
    const kernels::PlaneMix again = describe(name, edges, states, theta.value(), gates);
    run_node_backward(t, again, t.gradient(node), edges, states, theta);
  });
  return node;
}

}  // namespace drnas
