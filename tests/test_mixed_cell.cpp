// SPDX-License-Identifier: MIT
// Bundles and node mixes on the tape against the definitions in float64: results, and every
// gradient by finite differences.
#include <omp.h>

#include <array>

#include "engine/mixed_ops.h"
#include "engine/ops.h"
#include "tests/cell_reference.h"

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

/// A random cell with its float64 reference.
struct Cell {
  CellReference reference;
  Doubles x, theta, classifier;
  CellReference::Weights weights;
  std::vector<std::int32_t> labels;

  Cell(std::mt19937_64& rng, CellReference r) : reference(r) {
    x = normals(rng, std::int64_t{r.n} * r.h * r.w * r.channels);
    std::gamma_distribution<double> gamma(1.0);
    for (int i = 0; i < r.edges() * r.ops; ++i) theta.push_back(gamma(rng));
    classifier = normals(rng, classes * r.channels);
    for (int source = 0; source + 1 < r.nodes; ++source) {
      const int rows = (r.nodes - 1 - source) * r.c();
      weights.push_back({normals(rng, std::int64_t{rows} * r.c()),
                         normals(rng, std::int64_t{rows} * 9 * r.c(), 0.4)});
    }
    for (int i = 0; i < r.n; ++i) labels.push_back(static_cast<int>(rng() % classes));
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

struct Wanted {
  bool x = true, weights = true, theta = true;
};

Run run(const Cell& cell, bool rebuild, Wanted want = {}) {
  const CellReference& r = cell.reference;
  const Shape shape{r.n, r.h, r.w, r.channels};
  Tape tape;
  Tensor theta_values({1, 1, r.edges(), r.ops}, MemoryTag::optimizer, Device::cpu, DType::f64);
  std::copy(cell.theta.begin(), cell.theta.end(), theta_values.data<double>());
  const Variable x(tensor_of(cell.x, shape), "x"), theta(theta_values, "theta");
  std::vector<Bundle> bundles;
  std::vector<std::array<Variable, 2>> weights;
  Variable node = x;
  for (int j = 1; j < r.nodes; ++j) {
    BundleParameters p{{1, 3}, {rebuild, false}, {}, {}, {}, r.nodes - j, r.c()};
    weights.emplace_back();
    for (int s = 0; s < 2; ++s) {
      const int k = p.kernels[s];
      weights.back()[s] =
          Variable(tensor_of(cell.weights[j - 1][s], {p.edges * r.c(), k, k, r.c()}), "weight");
      p.weights.push_back(weights.back()[s]);
      for (auto* statistic : {&p.running_mean, &p.running_var})
        statistic->push_back(Tensor::zeros({1, 1, 1, p.edges * r.c()}, MemoryTag::statistics));
    }
    bundles.push_back(conv_bundle(tape, "bundle", node, p, true));
    NodeMixInputs inputs;
    for (int i = 0; i < j; ++i) {
      const int row = CellReference::edge(j, i) * r.ops;
      inputs.edges.push_back({bundles[i], j - i - 1, {row + 2, row + 3}, row + 1, row + 4});
    }
    node = node_mix(tape, "mix", inputs, theta);
  }
  for (const Bundle& b : bundles) b.release();
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
  for (const auto& pair : weights)
    if (want.weights) wanted.insert(wanted.end(), pair.begin(), pair.end());
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
  for (const auto& pair : weights) {
    if (!want.weights) break;
    out.dweights.push_back({doubles_of(pair[0].gradient()), doubles_of(pair[1].gradient())});
    for (const Variable& v : pair) keep(v.gradient());
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

}  // namespace

TEST_CASE("mixed cell: result and all gradients") {
  auto rng = generator(41);
  const CellReference shapes[] = {{2, 3, 4, 4, 1, 4}, {2, 3, 3, 6, 2, 3}, {3, 4, 2, 8, 4, 3},
                                  {2, 1, 5, 8, 8, 3}, {3, 5, 1, 3, 1, 3}, {1, 4, 4, 8, 1, 2},
                                  {5, 3, 3, 12, 2, 3}};
  for (const CellReference& shape : shapes) {
    CAPTURE(shape.channels);
    CAPTURE(shape.parts);
    const Cell cell(rng, shape);
    for (const bool rebuild : {false, true}) {
      const Run r = run(cell, rebuild);
      CHECK(max_error(r.y, shape.forward(cell.x, cell.weights, cell.theta)) < tolerance);
      CHECK(r.loss == doctest::Approx(cell.loss(cell.x, cell.weights, cell.theta)).epsilon(1e-5));
      constexpr double h = 1e-5;  // short, so that hardly any ReLU changes sides
      const auto of_x = [&](const Doubles& v) { return cell.loss(v, cell.weights, cell.theta); };
      const auto of_theta = [&](const Doubles& v) { return cell.loss(cell.x, cell.weights, v); };
      CHECK(max_error(r.dx, finite_differences(of_x, cell.x, h)) < tolerance);
      CHECK(max_error(r.dtheta, finite_differences(of_theta, cell.theta, h)) < tolerance);
      // Some weights have no effect behind a batch norm: their gradients are rounding, measured
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
  BundleParameters p{{1}, {}, {Variable(Tensor::zeros({4, 1, 1, 4}, MemoryTag::weights))}, {}, {},
                     1,   4};
  CHECK_THROWS_WITH_AS(conv_bundle(tape, "odd", x, p, true),
                       "odd: 4 mixed channels do not divide input [1, 2, 2, 6]", Error);
}

TEST_CASE("mixed cell: evaluation mode has no gradient and says so") {
  Tape tape;
  const Variable x(Tensor::zeros({1, 2, 2, 4}, MemoryTag::activations), "x");
  const Tensor mean = Tensor::zeros({1, 1, 1, 4}, MemoryTag::statistics),
               var = Tensor::zeros({1, 1, 1, 4}, MemoryTag::statistics),
               theta = Tensor::zeros({1, 1, 1, 3}, MemoryTag::optimizer, Device::cpu, DType::f64);
  const BundleParameters p{
      {1}, {}, {Variable(Tensor::zeros({4, 1, 1, 4}, MemoryTag::weights))}, {mean}, {var}, 1, 4};
  const Bundle bundle = conv_bundle(tape, "bundle", x, p, false);
  const Variable y = node_mix(tape, "mix", {{{bundle, 0, {0}, 1, 2}}}, Variable(theta));
  const LossResult loss =
      cross_entropy(tape, "loss", global_average(tape, "mean", y),
                    Tensor::zeros({1, 1, 1, 1}, MemoryTag::data, Device::cpu, DType::i32));
  CHECK_THROWS_WITH_AS(tape.backward(loss.loss, std::vector{x}),
                       "mix: no gradient in evaluation mode", Error);
}
