// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_supernet.h"

#include <algorithm>

#include "nas/space/nb201/nb201_space.h"

namespace drnas {
namespace {

constexpr int skip_op = 1, conv_1x1_op = 2, conv_3x3_op = 3, pool_op = 4;
constexpr std::array<int, 2> kernel_sizes{1, 3};
constexpr std::array<int, 2> conv_ops{conv_1x1_op, conv_3x3_op};

/// Row of theta of the edge from `source` to `node`.
constexpr int edge_index(int node, int source) { return node * (node - 1) / 2 + source; }

std::string edge_name(const std::string& cell, int node, int source) {
  return cell + ".edges." + std::to_string(node) + "<-" + std::to_string(source);
}

}  // namespace

Nb201Supernet::Nb201Supernet(const SupernetOptions& options, std::uint64_t seed, Device device)
    : Supernet(nb201_space(), options, device) {
  const int c = options.channels, n = options.cells;
  stem_ = declare("stem.0.weight", {c, 3, 3, 3}, Initial::uniform(27));
  stem_norm_ = declare_norm("stem.1", c);
  int index = 0;
  for (int section = 0; section < 3; ++section) {
    if (section) blocks_.push_back(declare_block(index++, c << (section - 1), c << section));
    for (int i = 0; i < n; ++i) cells_.push_back(declare_cell(index++, c << section));
  }
  head_norm_ = declare_norm("lastact.0", 4 * c);
  classifier_weight_ =
      declare("classifier.weight", {1, 1, options.classes, 4 * c}, Initial::uniform(4 * c));
  classifier_bias_ =
      declare("classifier.bias", {1, 1, 1, options.classes}, Initial::uniform(4 * c));
  parameters_.allocate(seed);
  bind();
}

Nb201Supernet::Declared Nb201Supernet::declare(const std::string& name, Shape shape,
                                               Initial initial, bool continues_group) {
  return {parameters_.add(name, shape, initial, continues_group), shape, name, {}};
}

Nb201Supernet::Norm Nb201Supernet::declare_norm(const std::string& name, std::int64_t channels) {
  const Shape shape{1, 1, 1, channels};
  return {declare(name + ".weight", shape, Initial::value(1)),
          declare(name + ".bias", shape, Initial::value(0)),
          parameters_.add_statistic(name + ".running_mean", shape, 0),
          parameters_.add_statistic(name + ".running_var", shape, 1), channels};
}

Nb201Supernet::ReluConvNorm Nb201Supernet::declare_relu_conv_norm(const std::string& name, int in,
                                                                  int out, int stride) {
  return {declare(name + ".op.1.weight", {out, 3, 3, in}, Initial::uniform(9 * in)),
          declare_norm(name + ".op.2", out), stride};
}

Nb201Supernet::ResidualBlock Nb201Supernet::declare_block(int index, int in, int out) {
  const std::string name = "cells." + std::to_string(index);
  return {name, declare_relu_conv_norm(name + ".conv_a", in, out, 2),
          declare_relu_conv_norm(name + ".conv_b", out, out, 1),
          declare(name + ".downsample.1.weight", {out, 1, 1, in}, Initial::uniform(in))};
}

Nb201Supernet::Cell Nb201Supernet::declare_cell(int index, int channels) {
  Cell cell{"cells." + std::to_string(index), {}};
  for (int source = 0; source + 1 < nodes; ++source)
    cell.bundles[source] = declare_bundle(
        cell.name, source, channels / options_.partial_channels,
        declared_cells_ < options_.rebuild_cells ? RawOutputs::rebuild : options_.raw_outputs);
  ++declared_cells_;
  return cell;
}

Nb201Supernet::BundleConvolution Nb201Supernet::declare_convolution(const std::string& cell,
                                                                    int source, int size,
                                                                    std::uint8_t present, int c) {
  const int k = kernel_sizes[size];
  std::int64_t count = 0;
  // Adjacent slices, one an edge that has the size; the offset of the first one.
  const auto each_edge = [&](const std::string& suffix, const auto& add) {
    std::int64_t first = -1;
    count = 0;
    for (int node = source + 1; node < nodes; ++node) {
      if ((present >> (node - source - 1) & 1) == 0) continue;
      const std::string op = edge_name(cell, node, source) + "." + std::to_string(conv_ops[size]);
      const std::int64_t offset = add(op, op + ".op." + suffix, count > 0);
      if (count++ == 0) first = offset;
    }
    return first;
  };
  BundleConvolution convolution;
  Declared& weight = convolution.weight;
  weight.offset =
      each_edge("1.weight", [&](const std::string& op, const std::string& name, bool continues) {
        return parameters_.add(name, {c, k, k, c}, Initial::uniform(std::int64_t{k} * k * c),
                               continues, {op + ".out", op + ".in"});
      });
  weight.shape = {count * c, k, k, c};
  weight.name =
      cell + ".from" + std::to_string(source) + "." + std::to_string(k) + "x" + std::to_string(k);
  const Shape channels{1, 1, 1, c};
  convolution.mean = each_edge(
      "2.running_mean", [&](const std::string& op, const std::string& name, bool continues) {
        return parameters_.add_statistic(name, channels, 0, continues, {op + ".out", {}});
      });
  convolution.var = each_edge(
      "2.running_var", [&](const std::string& op, const std::string& name, bool continues) {
        return parameters_.add_statistic(name, channels, 1, continues, {op + ".out", {}});
      });
  return convolution;
}

Nb201Supernet::CellBundle Nb201Supernet::declare_bundle(const std::string& cell, int source, int c,
                                                        RawOutputs raw_outputs) {
  CellBundle bundle;
  BundleParameters& p = bundle.parameters;
  p.edges = nodes - 1 - source;
  p.channels = c;
  const std::array<bool, 2> rebuild{raw_outputs != RawOutputs::store,
                                    raw_outputs == RawOutputs::rebuild};
  for (int size = 0; size < 2; ++size) {
    unsigned present = 0;
    for (int e = 0; e < p.edges; ++e)
      if (kept(edge_index(source + 1 + e, source), conv_ops[size])) present |= 1u << e;
    if (present == 0) continue;
    p.kernels.push_back(kernel_sizes[size]);
    p.rebuild.push_back(rebuild[size]);
    p.present.push_back(static_cast<std::uint8_t>(present));
    bundle.convolutions.push_back(declare_convolution(cell, source, size, p.present.back(), c));
  }
  return bundle;
}

void Nb201Supernet::bind(Declared& declared) {
  declared.leaf = parameters_.leaf(declared.offset, declared.shape, declared.name);
  leaves_.push_back(declared.leaf);
}

void Nb201Supernet::bind(CellBundle& bundle) {
  BundleParameters& p = bundle.parameters;
  for (BundleConvolution& convolution : bundle.convolutions) {
    bind(convolution.weight);
    p.weights.push_back(convolution.weight.leaf);
    const Shape shape{1, 1, 1, convolution.weight.shape.n};
    p.running_mean.push_back(parameters_.statistic(convolution.mean, shape));
    p.running_var.push_back(parameters_.statistic(convolution.var, shape));
  }
}

void Nb201Supernet::bind() {
  const auto bind_norm = [&](Norm& norm) {
    bind(norm.gamma);
    bind(norm.beta);
  };
  bind(stem_);
  bind_norm(stem_norm_);
  for (Cell& cell : cells_)
    for (CellBundle& bundle : cell.bundles) bind(bundle);
  for (ResidualBlock& block : blocks_) {
    for (ReluConvNorm* op : {&block.a, &block.b}) {
      bind(op->weight);
      bind_norm(op->norm);
    }
    bind(block.shortcut);
  }
  bind_norm(head_norm_);
  bind(classifier_weight_);
  bind(classifier_bias_);
}

Variable Nb201Supernet::run_norm(Tape& tape, const std::string& name, const Norm& norm,
                                 const Variable& x, bool training, bool relu) const {
  const Shape shape{1, 1, 1, norm.channels};
  return batch_norm(tape, name, x, norm.gamma.leaf, norm.beta.leaf,
                    parameters_.statistic(norm.mean, shape), parameters_.statistic(norm.var, shape),
                    {.training = training, .relu = relu});
}

Variable Nb201Supernet::run_convolution(Tape& tape, const std::string& name, const ReluConvNorm& op,
                                        const Variable& x, bool relu) const {
  return conv2d(tape, name + ".conv", x, op.weight.leaf,
                {.stride = op.stride, .padding = 1, .relu_input = relu});
}

Variable Nb201Supernet::run_relu_conv_norm(Tape& tape, const std::string& name,
                                           const ReluConvNorm& op, const Variable& x,
                                           bool training) const {
  return run_norm(tape, name + ".norm", op.norm, run_convolution(tape, name, op, x, true), training,
                  false);
}

Variable Nb201Supernet::run_shortcut(Tape& tape, const ResidualBlock& block,
                                     const Variable& x) const {
  const Variable pooled = average_pool(tape, block.name + ".pool", x, 2, 2, 0);
  return conv2d(tape, block.name + ".downsample", pooled, block.shortcut.leaf, {});
}

Variable Nb201Supernet::run_block(Tape& tape, const ResidualBlock& block, const Variable& x,
                                  bool training) const {
  if (!training && !tape.recording()) return evaluate_block(tape, block, x);
  const Variable a = run_relu_conv_norm(tape, block.name + ".conv_a", block.a, x, training);
  const Variable b = run_relu_conv_norm(tape, block.name + ".conv_b", block.b, a, training);
  const Variable shortcut = run_shortcut(tape, block, x);
  const Variable sum = add(tape, block.name + ".sum", b, shortcut);
  for (const Variable& summand : {b, shortcut}) summand.release_value();
  return sum;
}

Variable Nb201Supernet::evaluate_block(Tape& tape, const ResidualBlock& block,
                                       const Variable& x) const {
  const std::string a_name = block.name + ".conv_a", b_name = block.name + ".conv_b";
  const Variable a = run_norm(tape, a_name + ".norm", block.a.norm,
                              run_convolution(tape, a_name, block.a, x, true), false, true),
                 z = run_convolution(tape, b_name, block.b, a, false);
  const Norm& norm = block.b.norm;
  const Shape shape{1, 1, 1, norm.channels};
  return add_batch_norm(tape, b_name + ".norm", run_shortcut(tape, block, x), z, norm.gamma.leaf,
                        norm.beta.leaf, parameters_.statistic(norm.mean, shape),
                        parameters_.statistic(norm.var, shape));
}

BundleParameters Nb201Supernet::active_part(const CellBundle& bundle, int source,
                                            const Variable& theta, const SupernetPass& pass) const {
  BundleParameters part = bundle.parameters;
  if (pass.run == OperationsRun::all) return part;
  for (std::size_t size = 0; size < part.kernels.size(); ++size) {
    const int op = part.kernels[size] == 1 ? conv_1x1_op : conv_3x3_op;
    unsigned active = 0;
    std::vector<int> gates;
    for (int e = 0; e < part.edges; ++e) {
      const int index = theta_index(pass, edge_index(source + 1 + e, source), op);
      if (index < 0) continue;
      active |= 1u << e;
      gates.push_back(index);
    }
    if (pass.active)
      part.active.push_back(static_cast<std::uint8_t>(active));
    else
      part.gates.push_back(std::move(gates));
  }
  if (!pass.active) part.gate_theta = theta.value();
  return part;
}

Bundle Nb201Supernet::run_bundle(Tape& tape, const Cell& cell, int source, const Variable& node,
                                 const Variable& theta, const SupernetPass& pass) const {
  const std::string name = cell.name + ".node" + std::to_string(source) + ".convolutions";
  const BundleParameters part = active_part(cell.bundles[source], source, theta, pass);
  if (pass.training || pass.run != OperationsRun::all)
    return conv_bundle(tape, name, node, part, pass.training);
  BundleTheta mixing{theta, {}};
  for (int to = source + 1; to < nodes; ++to)
    mixing.index.push_back(conv_theta(pass, cell, source, edge_index(to, source)));
  return evaluated_bundle(tape, name, node, part, mixing);
}

std::vector<int> Nb201Supernet::conv_theta(const SupernetPass& pass, const Cell& cell, int source,
                                           int edge) const {
  std::vector<int> of_sizes;
  for (const int k : cell.bundles[source].parameters.kernels)
    of_sizes.push_back(theta_index(pass, edge, k == 1 ? conv_1x1_op : conv_3x3_op));
  return of_sizes;
}

Variable Nb201Supernet::run_cell(Tape& tape, const Cell& cell, const Variable& x,
                                 const Variable& theta, const SupernetPass& pass,
                                 bool before_cell) const {
  std::array<Bundle, nodes - 1> bundles;
  Variable node = x;
  for (int j = 1; j < nodes; ++j) {
    bundles[j - 1] = run_bundle(tape, cell, j - 1, node, theta, pass);
    NodeMixInputs inputs;
    inputs.joins_bundle = j < nodes - 1;
    inputs.for_bundles = inputs.joins_bundle || before_cell;
    inputs.gates = gate_rows(pass, edge_index(j, 0), j);
    for (int i = 0; i < j; ++i) {
      const int edge = edge_index(j, i);
      const auto index = [&](int op) { return theta_index(pass, edge, op); };
      const int bypass = options_.edge_weights ? edge * columns() + ops : -1;
      inputs.edges.push_back({bundles[i], j - i - 1, conv_theta(pass, cell, i, edge),
                              index(skip_op), index(pool_op), bypass});
    }
    node = node_mix(tape, cell.name + ".node" + std::to_string(j), inputs, theta);
  }
  for (const Bundle& bundle : bundles) bundle.release();
  return node;
}

Variable Nb201Supernet::forward(Tape& tape, const Variable& images, const Variable& theta,
                                const SupernetPass& pass) const {
  const bool training = pass.training;
  if (theta.value().elements() != std::int64_t{edges} * columns())
    throw Error("supernet: theta must be [6, " + std::to_string(columns()) + "], got " +
                to_string(theta.value().shape()));
  Variable x = conv2d(tape, "stem.conv", images, stem_.leaf, {.padding = 1});
  // The stem reads three channels: it stays float32, and so do the means after the last cell.
  const Variable stem = run_norm(tape, "stem.norm", stem_norm_, x, training, false);
  x = cast(tape, "stem.cast", stem, options_.storage);
  if (options_.storage != DType::f32) stem.release_value();
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const std::size_t per_section = static_cast<std::size_t>(options_.cells);
    if (i && i % per_section == 0) x = run_block(tape, blocks_[i / per_section - 1], x, training);
    const bool before_cell = (i + 1) % per_section != 0;
    x = run_cell(tape, cells_[i], x, theta, pass, before_cell);
  }
  x = run_norm(tape, "lastact", head_norm_, x, training, true);
  x = global_average(tape, "pool", x);
  return linear(tape, "classifier", x, classifier_weight_.leaf, classifier_bias_.leaf);
}

}  // namespace drnas
