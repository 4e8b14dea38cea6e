// SPDX-License-Identifier: MIT
// Dropout of identities in the DARTS-space supernet: gradients, and which passes it reaches.
#include <cmath>

#include "nas/space/darts/darts_space.h"
#include "tests/support/reference.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int columns = 7, rows = 28, images = 4, side = 8;

SupernetOptions small_net() {
  SupernetOptions o;
  o.space = &darts_space();
  o.channels = 4;
  o.cells = 3;
  o.raw_outputs = RawOutputs::store;
  // Identities, a pool and a convolution: mostly identities decide.
  for (int row = 0; row < rows; ++row)
    for (int op = 0; op < columns; ++op) o.kept.push_back(op == 1 || op == 2 || op == 3);
  return o;
}

DeviceBatch small_batch() {
  auto rng = generator(421);
  const Doubles pixels = normals(rng, images * side * side * 3);
  return DeviceBatch(std::vector<float>(pixels.begin(), pixels.end()),
                     std::vector<std::int32_t>{0, 1, 2, 3}, side, Device::cpu);
}

/// Forward and backward passes of one draw.
struct Setup {
  std::unique_ptr<Supernet> net = make_supernet(small_net(), 6);
  DeviceBatch batch = small_batch();
  Tensor probability{{1, 1, 1, 1}, MemoryTag::optimizer};
  Tensor step = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, Device::cpu, DType::u32);
  Doubles theta, dtheta, dweights;

  Setup() {
    probability.data()[0] = 0.4f;
    for (int i = 0; i < rows * columns; ++i)
      theta.push_back(i % columns == 2 ? 0.6 : i % columns == 1 || i % columns == 3 ? 0.2 : 0.0);
  }
  double loss(const Doubles& mixing, bool gradients = false) {
    const Shape shape{1, 1, rows, columns};
    const Tensor values(shape, MemoryTag::optimizer, Device::cpu, DType::f64);
    std::copy(mixing.begin(), mixing.end(), values.data<double>());
    const Variable weights(
        values, Tensor::zeros(shape, MemoryTag::optimizer, Device::cpu, DType::f64), "theta");
    SupernetPass pass(true);
    pass.dropout = {3, probability.data(), step.data<std::uint32_t>()};
    Tape tape;
    const Variable logits = net->forward(tape, Variable(batch.images), weights, pass);
    const LossResult result = cross_entropy(tape, "loss", logits, batch.labels);
    if (gradients) {
      std::vector<Variable> wanted = net->leaves();
      wanted.push_back(weights);
      tape.backward(result.loss, wanted);
      const double* of_theta = weights.gradient().data<double>();
      dtheta.assign(of_theta, of_theta + shape.elements());
      const Tensor& all = net->parameters().gradients();
      dweights.assign(all.data(), all.data() + all.elements());
    }
    return result.read().loss;
  }
};

}  // namespace

TEST_CASE("skip dropout: gradients of mixing weights and weights against differences of the loss") {
  Setup s;
  s.loss(s.theta, true);
  const Doubles dtheta = s.dtheta, dweights = s.dweights;
  const double norm = std::sqrt(dot(dtheta, dtheta)), steep = std::sqrt(dot(dweights, dweights));
  const auto along_theta = [&](const Doubles& t) {
    Doubles moved = s.theta;
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += t[0] * dtheta[i] / norm;
    return s.loss(moved);
  };
  CHECK(finite_differences(along_theta, {0.0}, 5e-3)[0] == doctest::Approx(norm).epsilon(1e-2));
  float* weights = s.net->parameters().weights().data();
  const std::vector<float> start(weights, weights + dweights.size());
  const auto along_weights = [&](const Doubles& t) {
    for (std::size_t i = 0; i < start.size(); ++i)
      weights[i] = static_cast<float>(start[i] + t[0] * dweights[i] / steep);
    return s.loss(s.theta);
  };
  CHECK(finite_differences(along_weights, {0.0}, 2e-3)[0] == doctest::Approx(steep).epsilon(2e-2));
}

TEST_CASE("skip dropout: another draw drops others, none at all is the plain network") {
  Setup s;
  const double first = s.loss(s.theta);
  CHECK(s.loss(s.theta) == first);
  s.step.data<std::uint32_t>()[0] = 1;
  CHECK(s.loss(s.theta) != first);
  s.probability.data()[0] = 0;
  const double none = s.loss(s.theta);
  CHECK(none != first);
  const auto method = make_method("darts", {rows, columns, 5, Device::cpu});
  Trainer plain(*s.net, *method, {});
  CHECK(plain.probe(s.batch, s.theta, nullptr) == doctest::Approx(none).epsilon(1e-5));
}

TEST_CASE("skip dropout: training passes drop by the current probability, evaluations do not") {
  const auto losses = [](std::optional<std::uint64_t> seed, double probability) {
    Setup s;
    const auto method = make_method("darts", {rows, columns, 5, Device::cpu});
    method->prune(small_net().kept);
    TrainerOptions options;
    options.skip_dropout_seed = seed;
    Trainer trainer(*s.net, *method, options);
    trainer.set_skip_dropout(probability);
    Doubles all{trainer.evaluate(s.batch).loss, trainer.probe(s.batch, s.theta, nullptr)};
    all.push_back(trainer.architecture_step(s.batch).loss);
    all.push_back(trainer.weight_step(s.batch, 0.025).loss);
    return all;
  };
  const Doubles plain = losses({}, 0), dropped = losses(2, 0.7), other = losses(3, 0.7),
                less = losses(2, 0.3), none = losses(2, 0);
  for (const Doubles& with : {dropped, other, less, none})
    CHECK((with[0] == plain[0] && with[1] == plain[1]));
  for (const std::size_t step : {2, 3}) {
    CHECK(dropped[step] != plain[step]);
    CHECK(dropped[step] != other[step]);
    CHECK(dropped[step] != less[step]);
    CHECK(none[step] == doctest::Approx(plain[step]).epsilon(1e-5));
  }
}
