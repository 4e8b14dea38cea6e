// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_supernet.h"

#include "nas/space/darts/darts_space.h"

namespace drnas {
namespace {

constexpr int max_pool_op = 0, average_pool_op = 1, skip_op = 2, first_separable_op = 3;

/// sep_conv_3x3, sep_conv_5x5, dil_conv_3x3, dil_conv_5x5.
struct SeparableKind {
  int kernel, dilation, halves;
};
constexpr std::array<SeparableKind, 4> separable_kinds{
    {{3, 1, 2}, {5, 1, 2}, {3, 2, 1}, {5, 2, 1}}};

/// Row of the edge from `source` to node `node` (states 0 and 1 are the inputs, node i is state
/// 2 + i).
constexpr int edge_row(int node, int source) { return node * (node + 3) / 2 + source; }

std::string number(int value) { return std::to_string(value); }

}  // namespace

DartsSupernet::DartsSupernet(const SupernetOptions& options, std::uint64_t seed, Device device)
    : Supernet(darts_space(), options, device), builder_(parameters_) {
  if (options.cells < 3)
    throw Error("supernet: " + number(options.cells) + " cells, expected at least 3");
  if (options.storage != DType::f32)
    throw Error(
        "supernet: the DARTS space stores activations in float32, expected --precision "
        "fp32 or tf32");
  build();
  builder_.allocate(seed);
  build();
}

void DartsSupernet::build() {
  cells_.clear();
  const int width = 3 * options_.channels;
  stem_ = options_.imagenet_stem ? build_imagenet_stem(builder_, width / 2, width)
                                 : build_cifar_stem(builder_, width);
  int before = width, last = width, c = options_.channels;
  bool reduced = options_.imagenet_stem;
  for (int i = 0; i < options_.cells; ++i) {
    const bool reduction = i == options_.cells / 3 || i == 2 * options_.cells / 3;
    if (reduction) c *= 2;
    Cell cell{"cells." + number(i), reduction, c, {}, {}};
    cell.preprocess = {
        build_preprocess(builder_, cell.name + ".preprocess0", before, c, reduced, false),
        build_preprocess(builder_, cell.name + ".preprocess1", last, c, false, false)};
    // The widest planes lie before the first reduction: a third of the cells, two thirds of the
    // bytes.
    const bool early = options_.raw_outputs == RawOutputs::rebuild_1x1 && i < options_.cells / 3;
    build_bundles(
        cell, early || options_.raw_outputs == RawOutputs::rebuild || i < options_.rebuild_cells);
    cells_.push_back(std::move(cell));
    before = last;
    last = nodes * c;
    reduced = reduction;
  }
  classifier_weight_ =
      builder_.weight("classifier.weight", {1, 1, options_.classes, last}, Initial::uniform(last));
  classifier_bias_ =
      builder_.weight("classifier.bias", {1, 1, 1, options_.classes}, Initial::uniform(last));
}

void DartsSupernet::build_bundles(Cell& cell, bool rebuild) {
  const int c = cell.channels / options_.partial_channels;
  for (int source = 0; source <= nodes; ++source) {
    PlaneBundleParameters& bundle = cell.bundles[source];
    bundle.channels = c;
    bundle.stride = cell.reduction && source < 2 ? 2 : 1;
    bundle.rebuild = rebuild;
    bundle.rebuild_pools = options_.raw_outputs == RawOutputs::rebuild_1x1;
    for (int node = std::max(0, source - 1); node < nodes; ++node) {
      const int row = edge_row(node, source);
      bundle.edges.push_back(build_edge(cell.name + "._ops." + number(row) + "._ops.",
                                        row + (cell.reduction ? cell_edges : 0), c, bundle.stride));
      bundle.edges.back().skip = cell_edges * static_cast<int>(cells_.size()) + row;
    }
    build_pools(cell, source, bundle);
  }
}

PlaneBundleEdge DartsSupernet::build_edge(const std::string& name, int row, int c, int stride) {
  PlaneBundleEdge edge;
  // `none` stands in front where it is a candidate, and has no part of its own.
  const int first = first_op();
  const auto kept_op = [&](int op) { return kept(row, op + first); };
  const auto theta = [&](int op) { return kept_op(op) ? row * columns() + op + first : -1; };
  if (options_.edge_weights) edge.bypass_theta = row * columns() + first + ops;
  edge.max_pool_theta = theta(max_pool_op);
  edge.average_pool_theta = theta(average_pool_op);
  if (stride == 1) edge.skip_theta = theta(skip_op);
  if (stride == 2 && kept_op(skip_op)) {
    edge.reduction = build_reduction(name + number(skip_op + first), c);
    edge.reduction->theta = theta(skip_op);
  }
  for (int op = first_separable_op; op < ops; ++op) {
    if (!kept_op(op)) continue;
    edge.separable.push_back(build_separable(name + number(op + first) + ".op.", op, c));
    edge.separable.back().theta = theta(op);
  }
  return edge;
}

SeparableCandidate DartsSupernet::build_separable(const std::string& name, int op, int c) {
  const SeparableKind kind = separable_kinds[static_cast<std::size_t>(op - first_separable_op)];
  SeparableCandidate candidate{kind.kernel, kind.dilation, {}, -1};
  for (int half = 0; half < kind.halves; ++half) {
    const int at = 1 + 4 * half;
    const std::int64_t k = kind.kernel;
    const std::string in = name + number(half), out = name + number(half + 1);
    SeparableCandidate::Half h;
    h.depthwise = builder_.weight(name + number(at) + ".weight", {c, k, k, 1},
                                  Initial::uniform(k * k), {in, {}});
    h.pointwise = builder_.weight(name + number(at + 1) + ".weight", {c, 1, 1, c},
                                  Initial::uniform(c), {out, in});
    const NormParameters norm = build_norm(builder_, name + number(at + 2), c, false, out);
    h.running = {norm.mean, norm.var};
    candidate.halves.push_back(std::move(h));
  }
  return candidate;
}

FactorizedReduction DartsSupernet::build_reduction(const std::string& name, int c) {
  FactorizedReduction r;
  const auto half = [&](const std::string& suffix) {
    return builder_.weight(name + suffix + ".weight", {c / 2, 1, 1, c}, Initial::uniform(c),
                           {name + suffix, name + ".in"});
  };
  r.conv_1 = half(".conv_1");
  r.conv_2 = half(".conv_2");
  const NormParameters norm =
      build_norm(builder_, name + ".bn", c, false, name + ".conv_1|" + name + ".conv_2");
  r.running = {norm.mean, norm.var};
  return r;
}

/// The pools of a state are the same on all its edges, and so are their statistics.
void DartsSupernet::build_pools(const Cell& cell, int source, PlaneBundleParameters& bundle) {
  for (const int op : {max_pool_op, average_pool_op}) {
    std::vector<std::string> names;
    for (int e = 0; e < static_cast<int>(bundle.edges.size()); ++e) {
      const PlaneBundleEdge& edge = bundle.edges[e];
      if ((op == max_pool_op ? edge.max_pool_theta : edge.average_pool_theta) >= 0)
        names.push_back(cell.name + "._ops." +
                        number(edge_row(std::max(0, source - 1) + e, source)) + "._ops." +
                        number(op + first_op()) + ".op.1.");
    }
    if (names.empty()) continue;
    const std::string axis = cell.name + ".state" + number(source);
    const auto statistic = [&](const std::string& suffix, float initial) {
      std::vector<std::string> aliases;
      for (std::size_t i = 1; i < names.size(); ++i) aliases.push_back(names[i] + suffix);
      return builder_.statistic(names[0] + suffix, bundle.channels, initial, axis, aliases);
    };
    RunningStatistics& running = op == max_pool_op ? bundle.max_pool : bundle.average_pool;
    running.mean = statistic("running_mean", 0);
    running.var = statistic("running_var", 1);
  }
}

PlaneBundleParameters DartsSupernet::active_part(const Cell& cell, int source,
                                                 const Variable& theta,
                                                 const SupernetPass& pass) const {
  PlaneBundleParameters part = cell.bundles[source];
  part.dropout = pass.dropout;
  if (pass.run != OperationsRun::all && !pass.active) part.gate_theta = theta.value();
  if (!pass.active) return part;
  const auto runs = [&](int index) {
    return index >= 0 && (*pass.active)[static_cast<std::size_t>(index)] != 0;
  };
  for (PlaneBundleEdge& edge : part.edges) {
    for (int* index : {&edge.skip_theta, &edge.max_pool_theta, &edge.average_pool_theta})
      if (!runs(*index)) *index = -1;
    if (edge.reduction && !runs(edge.reduction->theta)) edge.reduction.reset();
    std::erase_if(edge.separable, [&](const SeparableCandidate& c) { return !runs(c.theta); });
  }
  return part;
}

Variable DartsSupernet::run_cell(Tape& tape, const Cell& cell,
                                 const std::array<Variable, 2>& inputs, const Variable& theta,
                                 const SupernetPass& pass) const {
  std::vector<Variable> states(inputs.begin(), inputs.end()), results;
  std::vector<PlaneBundle> bundles;
  const Shape in = inputs[0].value().shape();
  const int stride = cell.reduction ? 2 : 1;
  const Tensor whole({in.n, in.h / stride, in.w / stride, std::int64_t{nodes} * cell.channels},
                     MemoryTag::activations, tape.device(), DType::f32, Layout::planes);
  for (int node = 0; node < nodes; ++node) {
    while (bundles.size() < states.size()) {
      const std::size_t source = bundles.size();
      bundles.push_back(plane_bundle(
          tape, cell.name + ".state" + std::to_string(source) + ".candidates", states[source],
          active_part(cell, static_cast<int>(source), theta, pass), pass.training));
    }
    std::vector<PlaneNodeEdge> edges;
    for (int source = 0; source < node + 2; ++source)
      edges.push_back({bundles[source], node - std::max(0, source - 1)});
    const int first = edge_row(node, 0) + (cell.reduction ? cell_edges : 0);
    const Variable y = plane_node(tape, cell.name + ".node" + number(node), edges, theta,
                                  whole.channels(std::int64_t{node} * cell.channels, cell.channels),
                                  gate_rows(pass, first, node + 2));
    states.push_back(y);
    results.push_back(y);
  }
  for (const PlaneBundle& bundle : bundles) bundle.release();
  return join_planes(tape, cell.name, whole, results);
}

Variable DartsSupernet::forward(Tape& tape, const Variable& images, const Variable& theta,
                                const SupernetPass& pass) const {
  if (theta.value().elements() != edges * columns())
    throw Error("supernet: theta must have 28 rows of " + number(columns()) + ", got " +
                to_string(theta.value().shape()));
  std::vector<const DartsPreprocesses*> cells;
  for (const Cell& cell : cells_) cells.push_back(&cell.preprocess);
  Variable x = run_cells(tape, stem_, images, cells, pass.training,
                         [&](int i, const std::array<Variable, 2>& inputs) {
                           return run_cell(tape, cells_[i], inputs, theta, pass);
                         });
  x = average_planes(tape, "pool", x);
  return linear(tape, "classifier", x, classifier_weight_, classifier_bias_);
}

}  // namespace drnas
