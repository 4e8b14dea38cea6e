// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_network.h"

namespace drnas {
namespace {

enum Op { none_op, skip_op, conv_1x1_op, conv_3x3_op, pool_op };

constexpr int sections = 3, nodes = 4;

std::string number(int value) { return std::to_string(value); }

/// No backward pass follows.
bool evaluates(const Tape& tape, bool training) { return !training && !tape.recording(); }

/// a + b, whose values nothing else reads unless `keep`.
struct Sum {
  Variable value;
  bool keep = false;

  void add(Tape& tape, const std::string& name, const Variable& x, bool keep_x) {
    if (value.empty()) {
      value = x;
      keep = keep_x;
      return;
    }
    const Variable sum = drnas::add(tape, name, value, x);
    if (!keep) value.release_value();
    if (!keep_x) x.release_value();
    value = sum;
    keep = false;
  }
  /// The same of a normalised convolution, where no backward pass follows.
  void add_evaluated(Tape& tape, const std::string& name, const NormParameters& norm,
                     const Variable& z) {
    if (value.empty()) return add(tape, name, run_norm(tape, name, norm, z, false), false);
    const Variable sum =
        add_batch_norm(tape, name, value, z, norm.gamma, norm.beta, norm.mean, norm.var);
    if (!keep) value.release_value();
    value = sum;
    keep = false;
  }
};

}  // namespace

Nb201Network::Nb201Network(const DerivedOptions& options, std::uint64_t seed, Device device)
    : options_(options),
      genotype_(parse_nb201(options.genotype.text)),
      parameters_(device),
      builder_(parameters_) {
  if (options.imagenet || options.auxiliary)
    throw Error("network: a NAS-Bench-201 cell has no ImageNet stem and no auxiliary head");
  if (options.layers < 1 || options.channels < 1 || options.classes < 1)
    throw Error("network: " + number(options.layers) + " cells a section, " +
                number(options.channels) + " channels, " + number(options.classes) +
                " classes, expected at least 1 of each");
  if (options.image_size < 4 || options.image_size % 4 != 0)
    throw Error("network: images of " + number(options.image_size) +
                " pixels, expected a multiple of 4 to halve twice");
  for (const int op : genotype_.op)
    if (op < 0 || op >= Nb201Cell::ops)
      throw Error("network: op number " + number(op) + ", expected 0 to 4");
  build();
  builder_.allocate(seed);
  build();
}

void Nb201Network::build() {
  cells_.clear();
  blocks_.clear();
  const int c = options_.channels;
  stem_ = builder_.weight("stem.0.weight", {c, 3, 3, 3}, Initial::uniform(27));
  stem_norm_ = build_norm(builder_, "stem.1", c);
  int index = 0;
  for (int section = 0; section < sections; ++section) {
    if (section) blocks_.push_back(build_block(index++, c << (section - 1), c << section));
    for (int i = 0; i < options_.layers; ++i) cells_.push_back(build_cell(index++, c << section));
  }
  const int last = c << (sections - 1);
  head_norm_ = build_norm(builder_, "lastact.0", last);
  classifier_weight_ =
      builder_.weight("classifier.weight", {1, 1, options_.classes, last}, Initial::uniform(last));
  classifier_bias_ =
      builder_.weight("classifier.bias", {1, 1, 1, options_.classes}, Initial::uniform(last));
}

Nb201Network::Convolution Nb201Network::build_convolution(const std::string& name, int in, int out,
                                                          int kernel, int stride) {
  Variable weight = builder_.weight(name + ".op.1.weight", {out, kernel, kernel, in},
                                    Initial::uniform(std::int64_t{kernel} * kernel * in));
  return {name, std::move(weight), build_norm(builder_, name + ".op.2", out), kernel, stride};
}

Nb201Network::Cell Nb201Network::build_cell(int index, int channels) {
  Cell cell{"cells." + number(index), {}};
  for (std::size_t e = 0; e < genotype_.op.size(); ++e) {
    const int op = genotype_.op[e];
    if (op == conv_1x1_op || op == conv_3x3_op)
      cell.convolutions[e] = build_convolution(cell.name + ".layers." + number(static_cast<int>(e)),
                                               channels, channels, op == conv_3x3_op ? 3 : 1, 1);
  }
  return cell;
}

Nb201Network::Block Nb201Network::build_block(int index, int in, int out) {
  const std::string name = "cells." + number(index);
  Convolution a = build_convolution(name + ".conv_a", in, out, 3, 2);
  Convolution b = build_convolution(name + ".conv_b", out, out, 3, 1);
  return {name, std::move(a), std::move(b),
          builder_.weight(name + ".downsample.1.weight", {out, 1, 1, in}, Initial::uniform(in))};
}

Variable Nb201Network::convolve(Tape& tape, const Convolution& c, const Variable& x,
                                bool relu) const {
  return conv2d(tape, c.name + ".conv", x, c.weight,
                {.stride = c.stride, .padding = c.kernel / 2, .relu_input = relu});
}

Variable Nb201Network::run_convolution(Tape& tape, const Convolution& c, const Variable& x,
                                       bool training) const {
  return run_norm(tape, c.name + ".norm", c.norm, convolve(tape, c, x, true), training);
}

Variable Nb201Network::run_cell(Tape& tape, const Cell& cell, const Variable& x,
                                bool training) const {
  std::array<Variable, nodes> states{x};
  for (int node = 1; node < nodes; ++node) {
    Sum sum;
    for (std::size_t e = 0; e < Nb201Cell::edge.size(); ++e) {
      if (Nb201Cell::edge[e].to != node) continue;
      const Variable& source = states[static_cast<std::size_t>(Nb201Cell::edge[e].from)];
      const std::string name = cell.name + ".layers." + number(static_cast<int>(e));
      const int op = genotype_.op[e];
      if (op == skip_op) sum.add(tape, name + ".sum", source, true);
      if (op == pool_op)
        sum.add(tape, name + ".sum", average_pool(tape, name, source, 3, 1, 1), false);
      if (op != conv_1x1_op && op != conv_3x3_op) continue;
      const Convolution& c = cell.convolutions[e];
      if (evaluates(tape, training))
        sum.add_evaluated(tape, name + ".sum", c.norm, convolve(tape, c, source, true));
      else
        sum.add(tape, name + ".sum", run_convolution(tape, c, source, training), false);
    }
    if (sum.value.empty())
      sum.value = Variable(Tensor::zeros(x.value().shape(), MemoryTag::activations, tape.device()));
    states[static_cast<std::size_t>(node)] = sum.value;
  }
  return states.back();
}

Variable Nb201Network::run_shortcut(Tape& tape, const Block& block, const Variable& x) const {
  const Variable pooled = average_pool(tape, block.name + ".pool", x, 2, 2, 0);
  return conv2d(tape, block.name + ".downsample", pooled, block.shortcut, {});
}

Variable Nb201Network::run_block(Tape& tape, const Block& block, const Variable& x,
                                 bool training) const {
  if (evaluates(tape, training)) return evaluate_block(tape, block, x);
  const Variable a = run_convolution(tape, block.a, x, training);
  Sum sum;
  sum.add(tape, block.name + ".sum", run_convolution(tape, block.b, a, training), false);
  sum.add(tape, block.name + ".sum", run_shortcut(tape, block, x), false);
  return sum.value;
}

Variable Nb201Network::evaluate_block(Tape& tape, const Block& block, const Variable& x) const {
  const NormParameters& norm = block.a.norm;
  const Variable a =
      batch_norm(tape, block.a.name + ".norm", convolve(tape, block.a, x, true), norm.gamma,
                 norm.beta, norm.mean, norm.var, {.training = false, .relu = true});
  Sum sum;
  sum.add(tape, block.name + ".sum", run_shortcut(tape, block, x), false);
  sum.add_evaluated(tape, block.name + ".sum", block.b.norm, convolve(tape, block.b, a, false));
  return sum.value;
}

DerivedNetwork::Logits Nb201Network::forward(Tape& tape, const Variable& images,
                                             const DerivedPass& pass) const {
  const Shape in = images.value().shape();
  if (!(in == Shape{in.n, options_.image_size, options_.image_size, 3}))
    throw Error("network: images " + to_string(in) + ", expected " + number(options_.image_size) +
                " pixels of three colours");
  if (!pass.drop_path.empty())
    throw Error("network: a NAS-Bench-201 cell is trained without drop path");
  Variable x = conv2d(tape, "stem.conv", images, stem_, {.padding = 1});
  x = run_norm(tape, "stem.norm", stem_norm_, x, pass.training);
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const auto per_section = static_cast<std::size_t>(options_.layers);
    if (i && i % per_section == 0)
      x = run_block(tape, blocks_[i / per_section - 1], x, pass.training);
    x = run_cell(tape, cells_[i], x, pass.training);
  }
  x = batch_norm(tape, "lastact", x, head_norm_.gamma, head_norm_.beta, head_norm_.mean,
                 head_norm_.var, {.training = pass.training, .relu = true});
  x = global_average(tape, "pool", x);
  return {linear(tape, "classifier", x, classifier_weight_, classifier_bias_), {}};
}

NetworkCost Nb201Network::cost() const {
  NetworkCost cost;
  cost.parameters = cost.parameters_with_auxiliary = parameters_.count();
  int pixels = options_.image_size;
  const auto add = [&](const Variable& weight, std::int64_t out_pixels) {
    if (!weight.empty()) cost.multiply_adds += weight.value().elements() * out_pixels;
  };
  const auto per_section = static_cast<std::size_t>(options_.layers);
  const auto area = [&] { return std::int64_t{pixels} * pixels; };
  add(stem_, area());
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    if (i && i % per_section == 0) {
      const Block& block = blocks_[i / per_section - 1];
      pixels /= 2;
      for (const Variable& weight : {block.a.weight, block.b.weight, block.shortcut})
        add(weight, area());
    }
    for (const Convolution& c : cells_[i].convolutions) add(c.weight, area());
  }
  add(classifier_weight_, 1);
  return cost;
}

}  // namespace drnas
