// SPDX-License-Identifier: MIT
// Bundles and node mixes on the tape against the definitions in float64: results, and every
// gradient by finite differences.
#include <omp.h>

#include <array>

#include "engine/ops/mixed_ops.h"
#include "engine/ops/ops.h"
#include "tests/kernels/bundle/cell_reference.h"
#include "tests/nas/space/pruned.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int classes = 3;

Tensor tensor_of(const Doubles& values, Shape shape) {
  Tensor t(shape, MemoryTag::activations);
  REQUIRE(t.elements() == static_cast<std::int64_t>(values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) t.data()[i] = static_cast<float>(values[i]);
  return t;
}

Doubles doubles_of(const Tensor& t) { return Doubles(t.data(), t.data() + t.elements()); }

/// A random cell with its float64 reference. Pruned operations have theta zero there.
struct Cell {
  CellReference reference;
  Kept kept;
  Doubles x, theta, classifier;
  CellReference::Weights weights;
  std::vector<std::int32_t> labels;

  Cell(std::mt19937_64& rng, CellReference r, Kept kept_ = {})
      : reference(r), kept(std::move(kept_)) {
    if (kept.empty()) kept.assign(r.edges() * r.ops, 1);
    x = normals(rng, std::int64_t{r.n} * r.h * r.w * r.channels);
    std::gamma_distribution<double> gamma(1.0);
    for (int i = 0; i < r.edges() * r.ops; ++i) theta.push_back(kept[i] * gamma(rng));
    classifier = normals(rng, classes * r.channels);
    for (int source = 0; source + 1 < r.nodes; ++source) {
      const int rows = (r.nodes - 1 - source) * r.c();
      weights.push_back({normals(rng, std::int64_t{rows} * r.c()),
                         normals(rng, std::int64_t{rows} * 9 * r.c(), 0.4)});
    }
    for (int i = 0; i < r.n; ++i) labels.push_back(static_cast<int>(rng() % classes));
  }

  /// Index of a mixing weight, -1 where the operation is pruned.
  int index(int j, int i, int op) const {
    const int at = CellReference::edge(j, i) * reference.ops + op;
    return kept[at] ? at : -1;
  }

  double loss(const Doubles& x_, const CellReference::Weights& w, const Doubles& t) const {
    return reference.loss(reference.forward(x_, w, t), classifier, labels);
  }
};

/// The same cell on the tape.
struct Run {
  Doubles y, dx, dtheta;
  CellReference::Weights dweights;
  double loss = 0;
  std::vector<float> bits;  // everything in float32, for comparison bit by bit
};

/// One kernel size of a bundle: the edges that have it, and their rows of the weights.
struct Convolution {
  int source, size;
  std::vector<int> edges;
  Variable weight;

  Convolution(const Cell& cell, int source_, int size_) : source(source_), size(size_) {
    const CellReference& r = cell.reference;
    for (int j = source + 1; j < r.nodes; ++j)
      if (cell.index(j, source, 2 + size) >= 0) edges.push_back(j - source - 1);
    Doubles values;
    for (const int e : edges) {
      const auto first = cell.weights[source][size].begin() + e * edge_weights(r);
      values.insert(values.end(), first, first + edge_weights(r));
    }
    if (edges.empty()) return;
    const std::int64_t rows = static_cast<std::int64_t>(edges.size()) * r.c();
    weight = Variable(tensor_of(values, {rows, kernel(), kernel(), r.c()}), "weight");
  }
  int kernel() const { return size == 0 ? 1 : 3; }
  std::int64_t edge_weights(const CellReference& r) const {
    return std::int64_t{r.c()} * kernel() * kernel() * r.c();
  }
  void add_to(BundleParameters& p) const {
    p.kernels.push_back(kernel());
    p.weights.push_back(weight);
    p.present.push_back(0);
    for (const int e : edges) p.present.back() |= static_cast<std::uint8_t>(1 << e);
    for (auto* statistic : {&p.running_mean, &p.running_var})
      statistic->push_back(
          Tensor::zeros({1, 1, 1, weight.value().shape().n}, MemoryTag::statistics));
  }
  /// The gradient among those of all edges' weights.
  void scatter(const CellReference& r, Doubles& all) const {
    const Doubles gradient = doubles_of(weight.gradient());
    for (std::size_t i = 0; i < edges.size(); ++i)
      std::copy_n(gradient.begin() + static_cast<std::int64_t>(i) * edge_weights(r),
                  edge_weights(r), all.begin() + edges[i] * edge_weights(r));
  }
};

struct Wanted {
  bool x = true, weights = true, theta = true;
};

/// The last node of the cell on the tape; its convolutions are appended.
Variable build(Tape& tape, const Cell& cell, bool rebuild, const Variable& x, const Variable& theta,
               std::vector<Convolution>& convolutions) {
  const CellReference& r = cell.reference;
  std::vector<Bundle> bundles;
  std::vector<BundleParameters> parameters;
  Variable node = x;
  for (int j = 1; j < r.nodes; ++j) {
    BundleParameters& p = parameters.emplace_back();
    p.edges = r.nodes - j;
    p.channels = r.c();
    for (int s = 0; s < 2; ++s) {
      const Convolution convolution(cell, j - 1, s);
      if (convolution.edges.empty()) continue;
      convolution.add_to(p);
      p.rebuild.push_back(rebuild && s == 0);
      convolutions.push_back(convolution);
    }
    bundles.push_back(conv_bundle(tape, "bundle", node, p, true));
    NodeMixInputs inputs;
    for (int i = 0; i < j; ++i) {
      NodeMixEdge edge{bundles[i], j - i - 1, {}, cell.index(j, i, 1), cell.index(j, i, 4)};
      for (const int k : parameters[i].kernels)
        edge.conv_theta.push_back(cell.index(j, i, k == 1 ? 2 : 3));
      inputs.edges.push_back(edge);
    }
    node = node_mix(tape, "mix", inputs, theta);
  }
  for (const Bundle& b : bundles) b.release();
  return node;
}

Run run(const Cell& cell, bool rebuild, Wanted want = {}) {
  const CellReference& r = cell.reference;
  const Shape shape{r.n, r.h, r.w, r.channels};
  Tape tape;
  Tensor theta_values({1, 1, r.edges(), r.ops}, MemoryTag::optimizer, Device::cpu, DType::f64);
  std::copy(cell.theta.begin(), cell.theta.end(), theta_values.data<double>());
  const Variable x(tensor_of(cell.x, shape), "x"), theta(theta_values, "theta");
  std::vector<Convolution> convolutions;
  const Variable node = build(tape, cell, rebuild, x, theta, convolutions);
  Run out;
  out.y = doubles_of(node.value());
  const Variable classifier(tensor_of(cell.classifier, {1, 1, classes, r.channels}));
  const Variable bias(Tensor::zeros({1, 1, 1, classes}, MemoryTag::weights));
  Tensor labels({1, 1, 1, r.n}, MemoryTag::data, Device::cpu, DType::i32);
  std::copy(cell.labels.begin(), cell.labels.end(), labels.data<std::int32_t>());
  const LossResult loss = cross_entropy(
      tape, "loss",
      linear(tape, "classifier", global_average(tape, "mean", node), classifier, bias), labels);
  out.loss = loss.read().loss;
  std::vector<Variable> wanted;
  if (want.x) wanted.push_back(x);
  if (want.theta) wanted.push_back(theta);
  for (const Convolution& convolution : convolutions)
    if (want.weights) wanted.push_back(convolution.weight);
  tape.backward(loss.loss, wanted);
  out.bits.assign(node.value().data(), node.value().data() + node.value().elements());
  const auto keep = [&](const Tensor& g) {
    out.bits.insert(out.bits.end(), g.data(), g.data() + g.elements());
  };
  if (want.x) keep(x.gradient());
  if (want.x) out.dx = doubles_of(x.gradient());
  if (want.theta)
    out.dtheta.assign(theta.gradient().data<double>(),
                      theta.gradient().data<double>() + r.edges() * r.ops);
  if (!want.weights) return out;
  for (const auto& of_source : cell.weights)
    out.dweights.push_back({Doubles(of_source[0].size()), Doubles(of_source[1].size())});
  for (const Convolution& convolution : convolutions) {
    convolution.scatter(r, out.dweights[convolution.source][convolution.size]);
    keep(convolution.weight.gradient());
  }
  return out;
}

double largest(const Doubles& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::abs(v));
  return most;
}

/// Batch norm divides by deviations well below 1 here and there: a few hundred roundings at most.
constexpr double tolerance = 400 * float_epsilon;

/// Results against the reference, gradients against its finite differences.
void check_cell(const Cell& cell) {
  const CellReference& shape = cell.reference;
  for (const bool rebuild : {false, true}) {
    const Run r = run(cell, rebuild);
    CHECK(max_error(r.y, shape.forward(cell.x, cell.weights, cell.theta)) < tolerance);
    CHECK(r.loss == doctest::Approx(cell.loss(cell.x, cell.weights, cell.theta)).epsilon(1e-5));
    constexpr double h = 1e-5;  // short, so that hardly any ReLU changes sides
    const auto of_x = [&](const Doubles& v) { return cell.loss(v, cell.weights, cell.theta); };
    const auto of_theta = [&](const Doubles& v) { return cell.loss(cell.x, cell.weights, v); };
    CHECK(max_error(r.dx, finite_differences(of_x, cell.x, h)) < tolerance);
    Doubles dtheta = finite_differences(of_theta, cell.theta, h);
    for (std::size_t i = 0; i < dtheta.size(); ++i) dtheta[i] *= cell.kept[i];
    CHECK(max_error(r.dtheta, dtheta) < tolerance);
    // Some weights have no effect after a batch norm: their gradients are rounding, measured
    // against the others'.
    const double least = 0.1 * std::max(largest(r.dx), largest(r.dtheta));
    for (std::size_t source = 0; source < cell.weights.size(); ++source)
      for (int size = 0; size < 2; ++size) {
        const auto of_weight = [&](const Doubles& v) {
          CellReference::Weights moved = cell.weights;
          moved[source][size] = v;
          return cell.loss(cell.x, moved, cell.theta);
        };
        CHECK(max_error(r.dweights[source][size],
                        finite_differences(of_weight, cell.weights[source][size], h),
                        least) < tolerance);
      }
  }
}

}  // namespace

TEST_CASE("mixed cell: result and all gradients") {
  auto rng = generator(41);
  const CellReference shapes[] = {{2, 3, 4, 4, 1, 4}, {2, 3, 3, 6, 2, 3}, {3, 4, 2, 8, 4, 3},
                                  {2, 1, 5, 8, 8, 3}, {3, 5, 1, 3, 1, 3}, {1, 4, 4, 8, 1, 2},
                                  {5, 3, 3, 12, 2, 3}};
  for (const CellReference& shape : shapes) {
    CAPTURE(shape.channels);
    CAPTURE(shape.parts);
    check_cell(Cell(rng, shape));
  }
}

TEST_CASE("mixed cell: pruned operations, result and all gradients") {
  auto rng = generator(44);
  for (const CellReference& shape :
       {CellReference{2, 3, 4, 4, 1, 4}, CellReference{2, 3, 3, 6, 2, 4},
        CellReference{3, 4, 2, 8, 4, 4}}) {
    const auto check = [&](const Kept& kept) {
      CAPTURE(shape.parts);
      std::string mask;
      for (const int k : kept) mask += std::to_string(k);
      CAPTURE(mask);
      check_cell(Cell(rng, shape, kept));
    };
    for (int trial = 0; trial < 3; ++trial) check(random_kept(rng, shape.edges(), shape.ops));
    check(kept_everywhere(shape.edges(), shape.ops, {1, 4}));  // no convolution at all
    Kept kept = random_kept(rng, shape.edges(), shape.ops);
    for (int op = 0; op < shape.ops; ++op)  // edges 1<-0 and 3<-2 do nothing
      kept[op] = kept[5 * shape.ops + op] = op == 0;
    check(kept);
  }
}

TEST_CASE("mixed cell: a node of which no edge does anything is zero, and sends nothing back") {
  auto rng = generator(45);
  const CellReference shape{2, 3, 3, 4, 1, 3};
  const Run r = run(Cell(rng, shape, kept_everywhere(shape.edges(), shape.ops, {0})), false);
  CHECK(largest(r.y) == 0.0);
  CHECK(largest(r.dx) == 0.0);
  CHECK(largest(r.dtheta) == 0.0);
}

TEST_CASE("mixed cell: only what is wanted, with the same bits") {
  auto rng = generator(42);
  const Cell cell(rng, {4, 6, 6, 16, 2, 4});
  const Run all = run(cell, true);
  const Run theta_only = run(cell, true, {.x = false, .weights = false});
  CHECK(theta_only.dtheta == all.dtheta);
  const Run weights_only = run(cell, true, {.x = false, .theta = false});
  CHECK(weights_only.dweights == all.dweights);
  CHECK(run(cell, true, {.weights = false}).dx == all.dx);
}

TEST_CASE(
    "mixed cell: repeats bit by bit; forward and mixing gradients do not depend on the thread "
    "count") {
  auto rng = generator(43);
  const Cell cell(rng, {6, 8, 8, 16, 1, 4});
  CHECK(run(cell, true).bits == run(cell, true).bits);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Run one = run(cell, false);
  for (int t = 2; t <= 3; ++t) {
    omp_set_num_threads(t);
    const Run more = run(cell, false);
    CHECK(one.y == more.y);
    CHECK(max_error(more.dtheta, one.dtheta) < tolerance);
  }
  omp_set_num_threads(threads);
}

TEST_CASE("mixed cell: misuse is named") {
  Tape tape;
  const Variable x(Tensor::zeros({1, 2, 2, 6}, MemoryTag::activations));
  BundleParameters p;
  p.kernels = {1};
  p.weights = {Variable(Tensor::zeros({4, 1, 1, 4}, MemoryTag::weights))};
  p.channels = 4;
  CHECK_THROWS_WITH_AS(conv_bundle(tape, "odd", x, p, true),
                       "odd: 4 mixed channels do not divide input [1, 2, 2, 6]", Error);
  p.channels = 6;
  for (const std::vector<std::uint8_t>& present : {Kept{2}, Kept{1, 1}}) {
    p.present = present;
    CHECK_THROWS_WITH_AS(conv_bundle(tape, "idle", x, p, true),
                         "idle: expected edges for each of its 1 kernel sizes", Error);
  }
  BundleParameters none;
  none.channels = 6;
  const Bundle bundle = conv_bundle(tape, "none", x, none, true);
  const Tensor theta = Tensor::zeros({1, 1, 1, 3}, MemoryTag::optimizer, Device::cpu, DType::f64);
  CHECK_THROWS_WITH_AS(node_mix(tape, "mix", {{{bundle, 0, {0}, 1, 2}}}, Variable(theta)),
                       "mix: expected a mixing weight or -1 for each of 0 kernel sizes", Error);
}
