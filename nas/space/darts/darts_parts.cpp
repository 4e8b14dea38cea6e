// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_parts.h"

namespace drnas {
namespace {

DartsStemLayer build_layer(NetworkBuilder& builder, const std::string& prefix, int at, int in,
                           int out, int stride, bool relu) {
  const std::string name = prefix + "." + std::to_string(at);
  Variable weight = builder.weight(name + ".weight", {out, 3, 3, in}, Initial::uniform(9 * in));
  return {name, std::move(weight), build_norm(builder, prefix + "." + std::to_string(at + 1), out),
          stride, relu};
}

}  // namespace

std::vector<DartsStemLayer> build_cifar_stem(NetworkBuilder& builder, int width) {
  return {build_layer(builder, "stem", 0, 3, width, 1, false)};
}

std::vector<DartsStemLayer> build_imagenet_stem(NetworkBuilder& builder, int first, int width) {
  return {build_layer(builder, "stem0", 0, 3, first, 2, false),
          build_layer(builder, "stem0", 3, first, width, 2, true),
          build_layer(builder, "stem1", 1, width, width, 2, true)};
}

DartsPreprocess build_preprocess(NetworkBuilder& builder, const std::string& name, int in, int out,
                                 bool factorized, bool affine) {
  DartsPreprocess p{name, {}, {}, factorized};
  const auto weight = [&](const std::string& suffix, int rows) {
    p.weights.push_back(builder.weight(name + suffix, {rows, 1, 1, in}, Initial::uniform(in)));
  };
  if (factorized) {
    weight(".conv_1.weight", out / 2);
    weight(".conv_2.weight", out / 2);
  } else {
    weight(".op.1.weight", out);
  }
  p.norm = build_norm(builder, name + (factorized ? ".bn" : ".op.2"), out, affine);
  return p;
}

Variable run_reduction(Tape& tape, const std::string& name, const Variable& x,
                       const std::vector<Variable>& weights) {
  return conv1x1_planes(tape, name, x, {{{{weights.at(0), 0}, {weights.at(1), 1}}}},
                        {.relu = true, .stride = 2})[0];
}

namespace {

/// The two inputs of the first cell, as planes: the last two results, or the only one twice.
std::array<Variable, 2> run_stem(Tape& tape, const std::vector<DartsStemLayer>& layers,
                                 const Variable& images, bool training) {
  std::array<Variable, 2> results;
  Variable x = images;
  for (const DartsStemLayer& layer : layers) {
    x = conv2d(tape, layer.name, x, layer.weight,
               {.stride = layer.stride, .padding = 1, .relu_input = layer.relu});
    x = run_norm(tape, layer.name + ".norm", layer.norm, x, training);
    const bool input_of_cells = layers.size() == 1 || &layer != &layers.front();
    if (!input_of_cells) continue;
    results[0] = results[1];
    results[1] = to_planes(tape, layer.name + ".planes", x);
  }
  if (results[0].empty()) results[0] = results[1];
  return results;
}

/// The results of several that read x: those alike run together.
std::vector<Variable> run_preprocess(Tape& tape, const Variable& x,
                                     const std::vector<const DartsPreprocess*>& readers,
                                     bool training) {
  std::vector<Conv1x1Result> together;
  for (const DartsPreprocess* p : readers)
    if (!p->factorized) together.push_back({{{p->weights[0], 0}}});
  std::vector<Variable> plain, results;
  if (!together.empty())
    plain = conv1x1_planes(tape, readers[0]->name, x, together, {.relu = true, .stride = 1});
  std::size_t next = 0;
  for (const DartsPreprocess* p : readers) {
    const Variable z = p->factorized ? run_reduction(tape, p->name, x, p->weights) : plain[next++];
    const std::string name = p->name + ".norm";
    results.push_back(
        p->norm.gamma.empty()
            ? plane_norm_in_place(tape, name, z, p->norm.mean, p->norm.var, {.training = training})
            : run_norm(tape, name, p->norm, z, training));
  }
  return results;
}

}  // namespace

Variable run_cells(
    Tape& tape, const std::vector<DartsStemLayer>& stem, const Variable& images,
    const std::vector<const DartsPreprocesses*>& cells, bool training,
    const std::function<Variable(int cell, const std::array<Variable, 2>& inputs)>& run_cell) {
  const int count = static_cast<int>(cells.size());
  std::vector<std::array<Variable, 2>> inputs(cells.size());
  /// A cell, and which of its inputs.
  using Reader = std::pair<int, int>;
  const auto serve = [&](const Variable& x, std::vector<Reader> readers) {
    std::erase_if(readers, [&](const Reader& r) { return r.first >= count; });
    if (readers.empty()) return;
    std::vector<const DartsPreprocess*> list;
    for (const auto& [cell, input] : readers) list.push_back(&(*cells[cell])[input]);
    const std::vector<Variable> results = run_preprocess(tape, x, list, training);
    for (std::size_t i = 0; i < readers.size(); ++i)
      inputs[readers[i].first][readers[i].second] = results[i];
  };
  const auto [before, last] = run_stem(tape, stem, images, training);
  if (stem.size() == 1) {
    serve(last, {{0, 0}, {0, 1}, {1, 0}});
  } else {
    serve(before, {{0, 0}});
    serve(last, {{0, 1}, {1, 0}});
  }
  Variable x;
  for (int i = 0; i < count; ++i) {
    x = run_cell(i, inputs[i]);
    inputs[i] = {};
    serve(x, {{i + 1, 1}, {i + 2, 0}});
  }
  return x;
}

}  // namespace drnas
