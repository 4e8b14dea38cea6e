// SPDX-License-Identifier: MIT
#include "engine/tape.h"

#include "engine/ops/ops.h"
#include "engine/parameters/checkpoint.h"
#include "engine/parameters/parameters.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

Tensor tensor_of(const Doubles& values, Shape shape) {
  Tensor t(shape, MemoryTag::activations);
  for (std::size_t i = 0; i < values.size(); ++i) t.data()[i] = static_cast<float>(values[i]);
  return t;
}

Tensor labels_of(std::initializer_list<int> labels) {
  Tensor t({1, 1, 1, static_cast<std::int64_t>(labels.size())}, MemoryTag::data, Device::cpu,
           DType::i32);
  std::copy(labels.begin(), labels.end(), t.data<std::int32_t>());
  return t;
}

}  // namespace

TEST_CASE("tape: a value with two readers gets the sum of both gradients") {
  auto rng = generator(61);
  const Doubles x = normals(rng, 6), w = normals(rng, 6);
  const auto gradient = [&](bool twice) {
    Tape tape;
    const Variable in(tensor_of(x, {2, 1, 1, 3}), "x");
    const Variable weight(tensor_of(w, {1, 1, 2, 3})),
        bias(Tensor::zeros({1, 1, 1, 2}, MemoryTag::weights));
    const Variable other(Tensor::zeros({2, 1, 1, 3}, MemoryTag::activations));
    const Variable sum = add(tape, "sum", in, twice ? in : other);
    const LossResult loss =
        cross_entropy(tape, "loss", linear(tape, "linear", sum, weight, bias), labels_of({0, 1}));
    tape.backward(loss.loss, std::vector{in});
    CHECK(tape.size() == 0);
    return Doubles(in.gradient().data(), in.gradient().data() + 6);
  };
  const auto loss_of = [&](const Doubles& v, double factor) {
    double total = 0;
    for (int i = 0; i < 2; ++i) {
      double z[2] = {0, 0};
      for (int o = 0; o < 2; ++o)
        for (int k = 0; k < 3; ++k) z[o] += factor * v[i * 3 + k] * w[o * 3 + k];
      total += std::log(std::exp(z[0]) + std::exp(z[1])) - z[i];
    }
    return total / 2;
  };
  for (const bool twice : {false, true})
    CHECK(max_error(gradient(twice),
                    finite_differences([&](const Doubles& v) { return loss_of(v, twice ? 2 : 1); },
                                       x)) < 1e-5);
}

TEST_CASE("tape: only wanted gradients exist, and saved tensors go as backward walks") {
  auto rng = generator(63);
  const Variable x(tensor_of(normals(rng, 8 * 8 * 8), {1, 8, 8, 8}), "x");
  const Variable w(tensor_of(normals(rng, 8 * 9 * 8), {8, 3, 3, 8}), "w");
  const Variable c(tensor_of(normals(rng, 16), {1, 1, 2, 8})),
      b(Tensor::zeros({1, 1, 1, 2}, MemoryTag::weights));
  const std::int64_t before = Allocator::of(Device::cpu).counters().live;
  {
    Tape tape;
    Variable y = x;
    for (int i = 0; i < 4; ++i)
      y = conv2d(tape, "conv", y, Variable(w.value(), "w"), {.padding = 1});
    LossResult loss = cross_entropy(
        tape, "loss", linear(tape, "linear", global_average(tape, "m", y), c, b), labels_of({1}));
    y = Variable();
    tape.backward(loss.loss, std::vector{c});
    CHECK(!c.gradient().empty());
    CHECK(x.gradient().empty());
    CHECK(b.gradient().empty());
    loss.loss = Variable();
    // The classifier's gradient is all that is left.
    CHECK(Allocator::of(Device::cpu).counters().live - before <= 2 * 256);
  }
}

TEST_CASE("tape: errors name what is wrong") {
  Tape tape;
  const Variable x(Tensor::zeros({1, 2, 2, 3}, MemoryTag::activations)),
      y(Tensor::zeros({1, 2, 2, 4}, MemoryTag::activations));
  CHECK_THROWS_WITH_AS(add(tape, "sum", x, y), "sum: shapes [1, 2, 2, 3] and [1, 2, 2, 4] differ",
                       Error);
  CHECK_THROWS_AS(tape.backward(x, {}), Error);
  CHECK_THROWS_AS(x.value().data<double>(), Error);
  CHECK_THROWS_AS(x.value().channels(2, 2), Error);
  Variable bad(Tensor::zeros({1, 1, 1, 4}, MemoryTag::activations), "bad");
  bad.value().data()[2] = INFINITY;
  Tape trap;
  trap.trap_non_finite(true);
  CHECK_THROWS_WITH_AS(add(trap, "sum", bad, bad), "result of operation sum is not finite", Error);
}

TEST_CASE("parameters: groups are adjacent, the start follows the seed and the fan-in") {
  const auto make = [](std::uint64_t seed) {
    ParameterStore store;
    CHECK(store.add("a", {1, 1, 1, 3}, Initial::value(1)) == 0);
    CHECK(store.add("b", {1, 1, 1, 1000}, Initial::uniform(25)) == 4);
    CHECK(store.add("c", {1, 1, 1, 5}, Initial::uniform(25), true) == 1004);
    store.allocate(seed);
    return store;
  };
  const ParameterStore one = make(1), again = make(1), two = make(2);
  const auto values = [](const ParameterStore& s) {
    return std::vector<float>(s.weights().data(), s.weights().data() + 1009);
  };
  CHECK(values(one) == values(again));
  CHECK(values(one) != values(two));
  CHECK(one.count() == 1008);
  double mean = 0;
  for (int i = 4; i < 1004; ++i) {
    CHECK(std::abs(one.weights().data()[i]) <= 0.2f);
    mean += one.weights().data()[i] / 1000;
  }
  CHECK(std::abs(mean) < 5 * 0.2 / std::sqrt(3.0 * 1000));
}
