// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "nas/diagnostics/hessian.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "nas/step/supernet_trainer.h"
#include "tests/nas/diagnostics/power_iteration.h"
#include "tests/support/reference.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// A small supernet with everything that a search step needs.
struct Setup {
  Nb201Supernet supernet;
  std::unique_ptr<SearchMethod> method;
  Trainer trainer;
  DeviceBatch batch;

  explicit Setup(const std::string& name = "drnas", TrainerOptions options = {})
      : supernet({8, 1, 10, 2}, 3),
        method(make_method(name, {Nb201Supernet::edges, Nb201Supernet::ops, 3, Device::cpu})),
        trainer(supernet, *method, options),
        batch(make_batch()) {}

  static DeviceBatch make_batch() {
    auto rng = generator(51);
    const Doubles pixels = normals(rng, 8 * 16 * 16 * 3);
    const std::vector<float> images(pixels.begin(), pixels.end());
    std::vector<std::int32_t> labels;
    for (int i = 0; i < 8; ++i) labels.push_back(i % 3);
    return {images, labels, 16, Device::cpu};
  }

  std::vector<float> copy(const Tensor& t) const { return {t.data(), t.data() + t.elements()}; }
  std::vector<float> weights() const { return copy(supernet.parameters().weights()); }
  std::vector<float> velocity() const { return copy(supernet.parameters().velocity()); }
  std::vector<float> gradients() const { return copy(supernet.parameters().gradients()); }
  std::vector<float> statistics() const { return copy(supernet.parameters().statistics_buffer()); }
  Doubles alpha() const {
    const Tensor& a = method->law().alpha().values;
    return Doubles(a.data<double>(), a.data<double>() + a.elements());
  }
  double loss_at(const Doubles& theta) const {
    Tensor values({1, 1, Nb201Supernet::edges, Nb201Supernet::ops}, MemoryTag::optimizer,
                  Device::cpu, DType::f64);
    std::copy(theta.begin(), theta.end(), values.data<double>());
    Tape tape(Device::cpu, false);
    const Variable logits = supernet.forward(tape, Variable(batch.images), Variable(values), true);
    return cross_entropy(tape, "loss", logits, batch.labels).read().loss;
  }
};

}  // namespace

TEST_CASE("supernet: published parameter counts and names") {
  const std::pair<int, std::int64_t> expected[] = {
      {1, 1686106}, {2, 476506}, {4, 174106}, {8, 98506}};
  for (const auto& [parts, count] : expected) {
    const Nb201Supernet supernet({16, 5, 10, parts}, 1);
    CHECK(supernet.parameters().count() == count);
  }
  const Nb201Supernet supernet({8, 2, 10, 1}, 1);
  std::set<std::string> names;
  for (const NamedSlice& p : supernet.parameters().parameters()) names.insert(p.name);
  CHECK(names.size() == supernet.parameters().parameters().size());
  for (const char* name : {"stem.0.weight", "cells.0.edges.1<-0.3.op.1.weight",
                           "cells.7.edges.3<-2.2.op.1.weight", "cells.2.conv_a.op.1.weight",
                           "cells.5.downsample.1.weight", "lastact.0.bias", "classifier.bias"})
    CHECK(names.count(name) == 1);
}

TEST_CASE("supernet: K must divide C") {
  CHECK_THROWS_WITH_AS(Nb201Supernet({16, 1, 10, 3}, 1),
                       "supernet: partial channels 3 do not divide 16 channels", Error);
}

TEST_CASE("trainer: weight steps on one batch bring the loss down") {
  Setup s;
  const double first = s.trainer.weight_step(s.batch, 0.025).loss;
  double last = first;
  for (int i = 0; i < 30; ++i) last = s.trainer.weight_step(s.batch, 0.025).loss;
  CHECK(last < 0.7 * first);
}

TEST_CASE("trainer: the architecture step moves alpha and computes no weight gradient") {
  for (const char* method : {"drnas", "darts"}) {
    Setup s(method);
    s.trainer.weight_step(s.batch, 0.025);
    const auto weights = s.weights(), velocity = s.velocity(), gradients = s.gradients();
    const Doubles alpha = s.alpha();
    s.trainer.architecture_step(s.batch);
    CHECK(s.weights() == weights);
    CHECK(s.velocity() == velocity);
    CHECK(s.gradients() == gradients);
    CHECK(s.alpha() != alpha);
  }
}

TEST_CASE("trainer: gradient for the mixing weights against differences of the loss") {
  Setup s("darts");
  s.trainer.architecture_step(s.batch);
  const Tensor& g = s.trainer.theta_gradient();
  // What that step sampled was the softmax of the initial alpha.
  Setup before("darts");
  const Tensor& theta_values = before.method->law().sample(0);
  const Doubles theta(theta_values.data<double>(), theta_values.data<double>() + 30);
  // The losses are float32: along the gradient itself a difference has the most digits.
  const Doubles gradient(g.data<double>(), g.data<double>() + 30);
  const double norm = std::sqrt(dot(gradient, gradient));
  const auto along = [&](const Doubles& t) {
    Doubles moved = theta;
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += t[0] * gradient[i] / norm;
    return before.loss_at(moved);
  };
  CHECK(finite_differences(along, {0.0}, 5e-3)[0] == doctest::Approx(norm).epsilon(1e-2));
}

TEST_CASE("trainer: steps repeat bit by bit and ask the system for memory only at first") {
  Setup a, b;
  for (int i = 0; i < 2; ++i) {
    CHECK(a.trainer.architecture_step(a.batch).loss == b.trainer.architecture_step(b.batch).loss);
    CHECK(a.trainer.weight_step(a.batch, 0.025).loss == b.trainer.weight_step(b.batch, 0.025).loss);
  }
  CHECK(a.weights() == b.weights());
  CHECK(a.alpha() == b.alpha());
  const auto allocations = Allocator::of(Device::cpu).counters().native_allocations;
  const auto live = Allocator::of(Device::cpu).counters().live;
  for (int i = 0; i < 3; ++i) {
    a.trainer.architecture_step(a.batch);
    a.trainer.weight_step(a.batch, 0.025);
    a.trainer.evaluate(a.batch);
  }
  CHECK(Allocator::of(Device::cpu).counters().native_allocations == allocations);
  CHECK(Allocator::of(Device::cpu).counters().live == live);
}

TEST_CASE("trainer: clipping scales the gradient to the limit, alpha's part included when asked") {
  for (const bool with_alpha : {false, true}) {
    Setup free("drnas", {.grad_clip = 0, .clip_with_alpha = with_alpha}),
        clipped("drnas", {.grad_clip = 0.1, .clip_with_alpha = with_alpha});
    const double norm = free.trainer.weight_step(free.batch, 0.025).gradient_norm;
    CHECK(clipped.trainer.weight_step(clipped.batch, 0.025).gradient_norm == norm);
    double squares = 0;
    for (float g : free.gradients()) squares += static_cast<double>(g) * g;
    if (with_alpha) {
      const Tensor& g = free.method->law().alpha().gradient;
      for (std::int64_t i = 0; i < g.elements(); ++i) squares += std::pow(g.data<double>()[i], 2);
    }
    CHECK(norm == doctest::Approx(std::sqrt(squares)).epsilon(sum_tolerance(256)));
    const auto v = free.velocity(), w = clipped.velocity(), start = Setup().weights();
    const double factor = 0.1 / (norm + 1e-6);
    for (std::size_t i = 0; i < v.size(); ++i) {
      const double decay = 3e-4 * start[i];
      CHECK(w[i] == doctest::Approx(factor * (v[i] - decay) + decay).epsilon(1e-5).scale(1e-2));
    }
  }
}

TEST_CASE("trainer: what is not finite is named and changes nothing") {
  for (const bool architecture : {true, false}) {
    Setup s;
    s.trainer.weight_step(s.batch, 0.025);
    float* weights = s.supernet.parameters().weights().data();
    for (const NamedSlice& p : s.supernet.parameters().parameters())
      if (p.name == "cells.2.edges.2<-1.3.op.1.weight") weights[p.offset] = NAN;
    const auto before = s.weights(), velocity = s.velocity(), statistics = s.statistics();
    const Doubles alpha = s.alpha();
    try {
      if (architecture)
        s.trainer.architecture_step(s.batch);
      else
        s.trainer.weight_step(s.batch, 0.025);
      FAIL("a NaN weight went unnoticed");
    } catch (const Error& error) {
      CAPTURE(error.what());
      CHECK(std::string(error.what()).find("operation cells.2.node1.convolutions is not finite") !=
            std::string::npos);
    }
    // By bits: the NaN itself compares equal to nothing.
    CHECK(std::memcmp(s.weights().data(), before.data(), before.size() * sizeof(float)) == 0);
    CHECK(s.velocity() == velocity);
    CHECK(s.statistics() == statistics);
    CHECK(s.alpha() == alpha);
  }
}

TEST_CASE("trainer: a pass that contradicts itself or takes another one's name is refused") {
  Setup s;
  const auto refused = [&](PassSetting setting, const char* part) {
    try {
      s.trainer.run(setting, s.batch);
      FAIL_CHECK(part, ": not refused");
    } catch (const Error& error) {
      CAPTURE(error.what());
      CHECK(std::string(error.what()).find(part) != std::string::npos);
    }
  };
  refused({.name = "a", .update = PassUpdate::weights}, "pass 'a': updates weights");
  refused({.name = "b", .update = PassUpdate::alpha}, "pass 'b': updates alpha");
  refused({.name = "c", .theta = PassTheta::given}, "pass 'c': expected give_theta()");
  s.trainer.give_theta(std::vector<double>(Nb201Supernet::edges * Nb201Supernet::ops, 0.2));
  refused({.name = "d",
           .theta = PassTheta::given,
           .weight_gradients = true,
           .update = PassUpdate::weights},
          "pass 'd': clips by alpha's gradient");
  s.trainer.evaluate(s.batch);
  refused({.name = "evaluation", .theta_gradient = true}, "pass 'evaluation': another setting");
}

TEST_CASE("supernet: a probe gives loss and gradient anywhere and changes nothing") {
  Setup probed, untouched;
  for (int i = 0; i < 3; ++i) {
    const auto weights = probed.weights(), statistics = probed.statistics();
    const Doubles alpha = probed.alpha();
    Doubles theta, gradient;
    for (const auto& row : probed.method->law().sampled(probed.trainer.draws()))
      theta.insert(theta.end(), row.begin(), row.end());
    const double loss = probed.trainer.probe(probed.batch, theta, &gradient);
    CHECK(probed.trainer.probe(probed.batch, theta, nullptr) == loss);
    CHECK(probed.weights() == weights);
    // Bit by bit: padding may hold anything.
    CHECK(std::memcmp(probed.statistics().data(), statistics.data(),
                      statistics.size() * sizeof(float)) == 0);
    CHECK(probed.alpha() == alpha);
    CHECK(loss == doctest::Approx(probed.loss_at(theta)).epsilon(4 * float_epsilon));
    // The step that draws this theta has the same loss and gradient; a trainer that never probed
    // does the same.
    const StepResult step = probed.trainer.architecture_step(probed.batch);
    CHECK(step.loss == loss);
    const Tensor& dtheta = probed.trainer.theta_gradient();
    CHECK(Doubles(dtheta.data<double>(), dtheta.data<double>() + dtheta.elements()) == gradient);
    CHECK(untouched.trainer.architecture_step(untouched.batch).loss == loss);
    CHECK(probed.trainer.weight_step(probed.batch, 0.025).loss ==
          untouched.trainer.weight_step(untouched.batch, 0.025).loss);
  }
  CHECK(probed.weights() == untouched.weights());
  CHECK(probed.alpha() == untouched.alpha());
}

TEST_CASE("supernet: power iteration finds the dominant eigenvalue of its Hessian") {
  Setup s;
  for (int i = 0; i < 100; ++i) s.trainer.weight_step(s.batch, 0.025);
  const Objective probe = [&](std::span<const double> theta, Doubles* gradient) {
    return s.trainer.probe(s.batch, theta, gradient);
  };
  const Doubles mean(30, 0.2);
  std::vector<int> all;
  for (int i = 0; i < 30; ++i) all.push_back(i);
  const double step = 0.1;
  const auto full = hessian(probe, mean, all, step, [](int) { return true; });
  const double expected = curvature(*full).eigenvalue;
  const double found = power_iteration(probe, mean, step, 40);
  MESSAGE("dominant eigenvalue ", expected, ", by power iteration ", found);
  // ReLU makes the loss smooth in pieces: differences along another direction cross other kinks.
  CHECK(found == doctest::Approx(expected).epsilon(0.2));
}
