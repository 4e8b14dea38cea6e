// SPDX-License-Identifier: MIT
#include <algorithm>

#include "engine/stream.h"
#include "kernels/train/drop_path.h"
#include "nas/space/darts/darts_network.h"

namespace drnas {
namespace {

Tensor new_planes(const Tape& tape, Shape shape) {
  return Tensor(shape, MemoryTag::activations, tape.device(), DType::f32, Layout::planes);
}

}  // namespace

/// Factors [1, 1, draws, n] of every droppable operation; empty where nothing is dropped.
Tensor DartsNetwork::draw_scales(const Tape& tape, std::int64_t images,
                                 const DerivedPass& pass) const {
  if (!pass.training || pass.drop_path.empty() || draws_ == 0) return {};
  if (pass.step.empty()) throw Error("network: drop path needs the number of the draw");
  const Tensor scales({1, 1, draws_, images}, MemoryTag::activations, tape.device());
  const kernels::DropPath p{draws_, static_cast<int>(images), seed_, pass.drop_path.data(),
                            pass.step.data<std::uint32_t>()};
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] { kernels::drop_path_scales<D>(p, scales.data(), compute_stream(D)); });
  });
  return scales;
}

Variable DartsNetwork::run_cell(Tape& tape, const Cell& cell, const std::array<Variable, 2>& inputs,
                                const Tensor& scales, bool training) const {
  const std::int64_t n = inputs[0].value().shape().n, c = cell.channels;
  const int pixels = cell.out_pixels();
  const std::vector<int>& concat = cell.genotype->concat;
  const auto parts = static_cast<std::int64_t>(concat.size());
  const Tensor whole = new_planes(tape, {n, pixels, pixels, parts * c});
  std::vector<Variable> states(inputs.begin(), inputs.end()), joined;
  for (int node = 0; node < cell.genotype->nodes(); ++node) {
    const int state = node + 2;
    const auto place = std::find(concat.begin(), concat.end(), state);
    const Tensor y = place == concat.end() ? new_planes(tape, {n, pixels, pixels, c})
                                           : whole.channels((place - concat.begin()) * c, c);
    Summand to{Variable(y, cell.name + ".node" + std::to_string(state)), false, {}};
    for (const int gene : {2 * node, 2 * node + 1}) {
      const Operation& op = cell.operations[static_cast<std::size_t>(gene)];
      if (op.kind == DartsOperation::Kind::none) continue;
      to.image_scale =
          scales.empty() || op.draw < 0 ? Tensor() : scales.slice(op.draw * n, {1, 1, 1, n});
      run_darts_operation(tape, op, states[static_cast<std::size_t>(op.source)], to, training);
      to.accumulate = true;
    }
    if (!to.accumulate) fill_zero(y);
    states.push_back(to.sum);
  }
  for (const int state : concat) joined.push_back(states[static_cast<std::size_t>(state)]);
  return join_planes(tape, cell.name, whole, joined);
}

Variable DartsNetwork::run_auxiliary(Tape& tape, const Variable& x, bool training) const {
  const AuxiliaryHead& head = *auxiliary_;
  const std::string name = "auxiliary_head.";
  const auto norm = [&](const std::string& at, const NormParameters& p, const Variable& z) {
    return batch_norm(tape, name + at, z, p.gamma, p.beta, p.mean, p.var,
                      {.training = training, .relu = true});
  };
  const Variable rectified = rectify(tape, name + "0", x);
  const Variable pixels = from_planes(tape, name + "pixels", rectified);
  rectified.release_value();
  Variable z = average_pool(tape, name + "1", pixels, 5, options_.imagenet ? 2 : 3, 0);
  pixels.release_value();
  z = norm("3", head.narrow_norm, conv2d(tape, name + "2", z, head.narrow, {}));
  z = conv2d(tape, name + "5", z, head.wide, {});
  z = head.wide_norm ? norm("6", *head.wide_norm, z) : rectify(tape, name + "6", z);
  return linear(tape, name + "classifier", z, head.weight, head.bias);
}

DerivedNetwork::Logits DartsNetwork::forward(Tape& tape, const Variable& images,
                                             const DerivedPass& pass) const {
  const Shape in = images.value().shape();
  if (!(in == Shape{in.n, options_.image_size, options_.image_size, 3}))
    throw Error("network: images " + to_string(in) + ", expected " +
                std::to_string(options_.image_size) + " pixels of three colours");
  const Tensor scales = draw_scales(tape, in.n, pass);
  std::vector<const DartsPreprocesses*> cells;
  for (const Cell& cell : cells_) cells.push_back(&cell.preprocess);
  Logits logits;
  Variable x = run_cells(tape, stem_, images, cells, pass.training,
                         [&](int i, const std::array<Variable, 2>& inputs) {
                           Variable y = run_cell(tape, cells_[i], inputs, scales, pass.training);
                           if (auxiliary_ && pass.training && i == auxiliary_cell())
                             logits.auxiliary = run_auxiliary(tape, y, true);
                           return y;
                         });
  x = average_planes(tape, "pool", x);
  logits.main = linear(tape, "classifier", x, classifier_weight_, classifier_bias_);
  return logits;
}

}  // namespace drnas
