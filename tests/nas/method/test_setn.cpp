// SPDX-License-Identifier: MIT
// SETN: what its two passes mix, and the gradient of alpha on a supernet.
#include <algorithm>
#include <cmath>

#include "engine/stream.h"
#include "nas/method/search_method.h"
#include "nas/space/nb201/nb201_space.h"
#include "tests/support/reference.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int edges = 6, ops = 5;

/// Pulls alpha's gradient back and moves nothing.
struct Watch final : AlphaUpdate {
  Law& law;
  std::vector<double> dtheta = {};
  explicit Watch(Law& law) : law(law) {}
  void update(const Tensor& of_theta, const Tensor& squared_norm) override {
    law.backward(of_theta);
    dtheta = download<double>(of_theta);
    upload_scalar(0.0, squared_norm);
  }
};

/// The batch that a step is given for either half.
struct One final : BatchSource {
  const DeviceBatch& batch;
  explicit One(const DeviceBatch& batch) : batch(batch) {}
  std::int64_t batches() const override { return 1; }
  const DeviceBatch& next() override { return batch; }
  const DeviceBatch& again() override { return batch; }
  void seek(std::int64_t) override {}
};

/// A small supernet with SETN, whose alpha is far from even.
struct Net {
  std::unique_ptr<Supernet> supernet;
  std::unique_ptr<SearchMethod> method;
  Watch watch;
  SupernetTrainer trainer;
  DeviceBatch batch;

  explicit Net(std::mt19937_64& rng)
      : supernet(make_supernet({.channels = 4, .cells = 1, .classes = 4, .space = &nb201_space()},
                               5, Device::cpu)),
        method(make_method("setn", {edges, ops, 7, Device::cpu})),
        watch(method->law()),
        trainer(*supernet, method->law(), &watch, {.clip_with_alpha = true}),
        batch(8, 16, Device::cpu) {
    const Doubles pixels = normals(rng, 8 * 16 * 16 * 3), alpha = normals(rng, edges * ops);
    batch.assign(std::vector<float>(pixels.begin(), pixels.end()),
                 std::vector<std::int32_t>{0, 3, 1, 2, 1, 1, 0, 2});
    upload<double>(alpha, method->law().alpha().values);
    trainer.set_learning_rate(0);
  }
  MethodResult step() {
    One source(batch);
    return method->step({trainer, source, source, true, 0});
  }
};

Doubles softmax(const Doubles& alpha) {
  Doubles theta(alpha.size());
  for (int e = 0; e < edges; ++e) {
    double sum = 0;
    for (int o = 0; o < ops; ++o) sum += std::exp(alpha[e * ops + o]);
    for (int o = 0; o < ops; ++o) theta[e * ops + o] = std::exp(alpha[e * ops + o]) / sum;
  }
  return theta;
}

}  // namespace

TEST_CASE("setn: alpha's gradient is that of the mixture's loss, by central differences") {
  auto rng = generator(91);
  Net net(rng);
  const Doubles alpha = download<double>(net.method->law().alpha().values);
  const MethodResult result = net.step();
  // The step's weights have left their gradient of alpha behind, which is none.
  for (const double g : download<double>(net.method->law().alpha_gradient())) CHECK(g == 0);
  CHECK(result.alpha.value().loss ==
        doctest::Approx(net.trainer.probe(net.batch, softmax(alpha), nullptr)).epsilon(1e-6));
  const Tensor dtheta = net.method->law().alpha().make_table();
  upload<double>(net.watch.dtheta, dtheta);
  net.method->law().backward(dtheta);
  const Doubles gradient = download<double>(net.method->law().alpha_gradient());
  Doubles differences;
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    const auto loss_at = [&](double h) {
      Doubles moved = alpha;
      moved[i] += h;
      return net.trainer.probe(net.batch, softmax(moved), nullptr);
    };
    constexpr double h = 0.003;
    differences.push_back((loss_at(h) - loss_at(-h)) / (2 * h));
  }
  // ReLUs have kinks between the two sides of a difference.
  CHECK(max_error(gradient, differences) < 0.06);
}

TEST_CASE("setn: the weights learn on one operation an edge, drawn from softmax(alpha)") {
  auto rng = generator(92);
  Net net(rng);
  const Doubles share = softmax(download<double>(net.method->law().alpha().values));
  constexpr int draws = 4000;
  std::vector<int> counts(edges * ops, 0);
  const PassSetting evaluation = net.method->evaluation();
  REQUIRE(evaluation.source != nullptr);
  const Tensor number = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, Device::cpu, DType::u32);
  for (int draw = 0; draw < draws; ++draw) {
    upload_scalar(static_cast<std::uint32_t>(draw), number);
    const std::vector<double> theta =
        download<double>(evaluation.source->draw(number.data<std::uint32_t>()));
    for (int e = 0; e < edges; ++e) {
      int chosen = 0;
      for (int o = 0; o < ops; ++o) {
        const double weight = theta[e * ops + o];
        CHECK((weight == 0 || weight == 1));
        chosen += weight == 1;
        counts[e * ops + o] += weight == 1;
      }
      CHECK(chosen == 1);
    }
  }
  for (int i = 0; i < edges * ops; ++i)
    CHECK(std::abs(counts[i] - draws * share[i]) <=
          5 * std::sqrt(draws * share[i] * (1 - share[i])));
}

TEST_CASE("setn: a step of the weights gives gradients to the drawn operations alone") {
  auto rng = generator(93);
  Net net(rng);
  net.step();
  // Draw 0 was alpha's pass, whose mixture needs none.
  const Tensor number = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, Device::cpu, DType::u32);
  upload_scalar(1u, number);
  const std::vector<double> theta =
      download<double>(net.method->evaluation().source->draw(number.data<std::uint32_t>()));
  const std::vector<std::string> names = nb201_space().edges();
  const ParameterStore& store = net.supernet->parameters();
  const std::vector<float> gradients = download<float>(store.gradients());
  int idle = 0, learning = 0;
  for (const NamedSlice& p : store.parameters())
    for (int i = 0; i < edges * ops; ++i) {
      const std::string place = names[i / ops] + "." + std::to_string(i % ops) + ".";
      if (p.name.find("edges." + place) == p.name.npos) continue;
      const float* const first = gradients.data() + p.offset;
      const bool any =
          std::any_of(first, first + p.shape.elements(), [](float g) { return g != 0; });
      if (theta[i] == 0) CHECK_FALSE(any);
      (theta[i] == 0 ? idle : learning) += theta[i] == 0 || any;
    }
  CHECK(idle > 0);
  CHECK(learning > 0);
}
