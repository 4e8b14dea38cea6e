// SPDX-License-Identifier: MIT
// Operations of engine/ops/ops.h on the tape, against a float64 network with finite differences.
#include <cmath>

#include "engine/ops/ops.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int batch = 3, size = 6, channels = 8, mid = 8, classes = 5, out_size = 3;
constexpr double smoothing = 0.1, eps = 1e-5;
const int labels[batch] = {4, 0, 2};

/// The leaves of the network, in float64: image, convolution, scale and shift, classifier.
struct Leaves {
  std::vector<Doubles> values;

  explicit Leaves(std::mt19937_64& rng)
      : values{normals(rng, std::int64_t{batch} * size * size * channels),
               normals(rng, std::int64_t{mid} * 9 * channels, 0.3),
               normals(rng, mid, 0.5),
               normals(rng, mid, 0.5),
               normals(rng, std::int64_t{classes} * mid, 0.5),
               normals(rng, classes, 0.5)} {}
};
const Shape leaf_shapes[] = {
    {batch, size, size, channels}, {mid, 3, 3, channels}, {1, 1, 1, mid}, {1, 1, 1, mid},
    {1, 1, classes, mid},          {1, 1, 1, classes}};
const char* const leaf_names[] = {"image", "convolution", "gamma", "beta", "classifier", "bias"};

int at(int n, int y, int x, int c, int extent, int depth) {
  return ((n * extent + y) * extent + x) * depth + c;
}

/// What the network is made of: the order of recording decides who writes a gradient first.
struct Variant {
  bool rectify = true, pool_first = false, affine = true;
  bool training = true;  ///< else batch norm goes by running statistics
};
constexpr double running_mean = 0.2, running_var = 1.5;

/// 3x3 convolution of x or max(0, x), stride 2, padding 1.
Doubles convolve(const Doubles& x, const Doubles& w, bool rectify) {
  Doubles z(std::size_t{batch} * out_size * out_size * mid);
  for (int n = 0; n < batch; ++n)
    for (int y = 0; y < out_size; ++y)
      for (int p = 0; p < out_size; ++p)
        for (int o = 0; o < mid; ++o)
          for (int k = 0; k < 9; ++k)
            for (int c = 0; c < channels; ++c) {
              const int iy = 2 * y + k / 3 - 1, ix = 2 * p + k % 3 - 1;
              if (iy < 0 || ix < 0 || iy >= size || ix >= size) continue;
              const double v = x[at(n, iy, ix, c, size, channels)];
              z[at(n, y, p, o, out_size, mid)] +=
                  (rectify ? std::max(0.0, v) : v) * w[(o * 9 + k) * channels + c];
            }
  return z;
}

/// y + the 2x2 averages of x.
Doubles add_shortcut(Doubles y, const Doubles& x) {
  for (int n = 0; n < batch; ++n)
    for (int i = 0; i < size; ++i)
      for (int j = 0; j < size; ++j)
        for (int c = 0; c < mid; ++c)
          y[at(n, i / 2, j / 2, c, out_size, mid)] += x[at(n, i, j, c, size, channels)] / 4;
  return y;
}

/// max(0, gamma (z - mean)/sqrt(var + eps) + beta), by the statistics of z where `training`.
Doubles normalise(const Doubles& z, const Doubles& gamma, const Doubles& beta, bool training) {
  Doubles y(z.size());
  const int pixels = batch * out_size * out_size;
  for (int c = 0; c < mid; ++c) {
    double mean = 0, var = 0;
    for (int p = 0; p < pixels; ++p) mean += z[p * mid + c] / pixels;
    for (int p = 0; p < pixels; ++p) var += std::pow(z[p * mid + c] - mean, 2) / pixels;
    if (!training) mean = running_mean, var = running_var;
    for (int p = 0; p < pixels; ++p)
      y[p * mid + c] =
          std::max(0.0, gamma[c] * (z[p * mid + c] - mean) / std::sqrt(var + eps) + beta[c]);
  }
  return y;
}

/// y + its 3x3 average, which counts only pixels inside.
Doubles add_average(const Doubles& y) {
  Doubles sum = y;
  for (int n = 0; n < batch; ++n)
    for (int i = 0; i < out_size; ++i)
      for (int j = 0; j < out_size; ++j)
        for (int c = 0; c < mid; ++c) {
          double total = 0;
          int inside = 0;
          for (int a = std::max(0, i - 1); a <= std::min(out_size - 1, i + 1); ++a)
            for (int b = std::max(0, j - 1); b <= std::min(out_size - 1, j + 1); ++b, ++inside)
              total += y[at(n, a, b, c, out_size, mid)];
          sum[at(n, i, j, c, out_size, mid)] += total / inside;
        }
  return sum;
}

/// Mean over pixels, classifier, cross entropy with label smoothing.
double loss_of(const Doubles& y, const Doubles& w, const Doubles& bias) {
  constexpr int pixels = out_size * out_size;
  double loss = 0;
  for (int n = 0; n < batch; ++n) {
    Doubles mean(mid), logits = bias;
    for (int p = 0; p < pixels; ++p)
      for (int c = 0; c < mid; ++c) mean[c] += y[(n * pixels + p) * mid + c] / pixels;
    double sum = 0, average = 0;
    for (int o = 0; o < classes; ++o) {
      for (int c = 0; c < mid; ++c) logits[o] += mean[c] * w[o * mid + c];
      sum += std::exp(logits[o]);
      average += logits[o] / classes;
    }
    loss += (std::log(sum) - (1 - smoothing) * logits[labels[n]] - smoothing * average) / batch;
  }
  return loss;
}

double reference_loss(const std::vector<Doubles>& v, const Variant& variant) {
  const Doubles gamma = variant.affine ? v[2] : Doubles(mid, 1.0),
                beta = variant.affine ? v[3] : Doubles(mid, 0.0);
  const Doubles y = normalise(convolve(v[0], v[1], variant.rectify), gamma, beta, variant.training);
  return loss_of(add_average(add_shortcut(y, v[0])), v[4], v[5]);
}

/// The same network on the tape.
struct Network {
  std::vector<Variable> leaves;
  Variable node;
  LossResult loss;

  Network(Tape& tape, const std::vector<Doubles>& values, const Variant& variant = {}) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Tensor t(leaf_shapes[i], MemoryTag::weights);
      std::copy(values[i].begin(), values[i].end(), t.data());
      leaves.emplace_back(t, leaf_names[i]);
    }
    Variable shortcut;
    const auto pool = [&] { shortcut = average_pool(tape, "shortcut", leaves[0], 2, 2, 0); };
    if (variant.pool_first) pool();
    const Variable z = conv2d(tape, "convolution", leaves[0], leaves[1],
                              {.stride = 2, .padding = 1, .relu_input = variant.rectify});
    if (!variant.pool_first) pool();
    const Tensor mean({1, 1, 1, mid}, MemoryTag::statistics),
        var({1, 1, 1, mid}, MemoryTag::statistics);
    std::fill_n(mean.data(), mid, static_cast<float>(running_mean));
    std::fill_n(var.data(), mid, static_cast<float>(running_var));
    const Variable y = batch_norm(tape, "norm", z, variant.affine ? leaves[2] : Variable(),
                                  variant.affine ? leaves[3] : Variable(), mean, var,
                                  {.training = variant.training, .relu = true});
    node = add(tape, "node", y, shortcut);
    const Variable sum = add(tape, "sum", node, average_pool(tape, "pool", node, 3, 1, 1));
    const Tensor targets({1, 1, 1, batch}, MemoryTag::data, Device::cpu, DType::i32);
    std::copy(labels, labels + batch, targets.data<std::int32_t>());
    loss = cross_entropy(
        tape, "loss",
        linear(tape, "linear", global_average(tape, "mean", sum), leaves[4], leaves[5]), targets,
        static_cast<float>(smoothing));
  }
};

Doubles values_of(const Tensor& t) {
  REQUIRE(!t.empty());
  return Doubles(t.data(), t.data() + t.elements());
}

}  // namespace

TEST_CASE("ops: loss and every gradient of a network against float64") {
  auto rng = generator(71);
  for (const Variant variant :
       {Variant{}, Variant{.rectify = false}, Variant{.pool_first = true},
        Variant{.rectify = false, .pool_first = true, .affine = false}, Variant{.training = false},
        Variant{.affine = false, .training = false}}) {
    const Leaves start(rng);
    Tape tape;
    const Network network(tape, start.values, variant);
    CHECK(network.loss.read().loss ==
          doctest::Approx(reference_loss(start.values, variant)).epsilon(1e-5));
    tape.backward(network.loss.loss, network.leaves);
    for (std::size_t i = 0; i < network.leaves.size(); ++i) {
      CAPTURE(leaf_names[i]);
      const auto loss_at = [&](const Doubles& v) {
        std::vector<Doubles> moved = start.values;
        moved[i] = v;
        return reference_loss(moved, variant);
      };
      // A short step keeps the kinks of max(0, x) out of the way.
      const Doubles expected = finite_differences(loss_at, start.values[i], 1e-6);
      // Two reductions over all pixels after one another, through 1/std. Without scale and shift
      // their leaves are not reached, and both sides are zero.
      CHECK(max_error(values_of(network.leaves[i].gradient()), expected) < 1e-4);
    }
  }
}

TEST_CASE("tape: a leaf alone gets the same bits as among all") {
  auto rng = generator(72);
  const Leaves start(rng);
  Tape tape;
  const Network all(tape, start.values);
  tape.backward(all.loss.loss, all.leaves);
  for (std::size_t i = 0; i < all.leaves.size(); ++i) {
    CAPTURE(leaf_names[i]);
    Tape again;
    const Network one(again, start.values);
    again.backward(one.loss.loss, std::vector{one.leaves[i]});
    CHECK(values_of(one.leaves[i].gradient()) == values_of(all.leaves[i].gradient()));
    for (std::size_t j = 0; j < all.leaves.size(); ++j)
      if (j != i) CHECK(one.leaves[j].gradient().empty());
  }
}

TEST_CASE("tape: an intermediate result may be wanted") {
  auto rng = generator(73);
  const Leaves start(rng);
  Tape tape;
  const Network network(tape, start.values);
  tape.backward(network.loss.loss, std::vector{network.node});
  const auto loss_at = [&](const Doubles& y) {
    return loss_of(add_average(y), start.values[4], start.values[5]);
  };
  const Doubles expected = finite_differences(loss_at, values_of(network.node.value()), 1e-3);
  CHECK(max_error(values_of(network.node.gradient()), expected) < 1e-5);
  CHECK(network.leaves[0].gradient().empty());
}

TEST_CASE("tape: a wanted leaf that the loss does not reach has gradient zero") {
  auto rng = generator(74);
  const Leaves start(rng);
  const Variable own(Tensor::zeros({1, 1, 1, 3}, MemoryTag::weights), "own");
  const Tensor buffer({1, 1, 1, 3}, MemoryTag::gradients), kept({1, 1, 1, 3}, MemoryTag::gradients);
  std::fill_n(buffer.data(), 3, 7.0f);
  std::fill_n(kept.data(), 3, 7.0f);
  const Variable overwritten(own.value(), buffer, "overwritten");
  const Variable added(own.value(), kept, "added", GradientRule::accumulate);
  Tape tape;
  const Network network(tape, start.values);
  tape.backward(network.loss.loss, std::vector{own, overwritten, added, network.leaves[5]});
  CHECK(values_of(own.gradient()) == Doubles(3, 0.0));
  CHECK(values_of(buffer) == Doubles(3, 0.0));
  CHECK(values_of(kept) == Doubles(3, 7.0));
}

TEST_CASE("tape: a leaf with rule accumulate adds to what is there, others overwrite") {
  auto rng = generator(75);
  const Doubles x = normals(rng, 6), w = normals(rng, 9);
  for (const GradientRule rule : {GradientRule::overwrite, GradientRule::accumulate}) {
    const Tensor value({2, 1, 1, 3}, MemoryTag::activations),
        buffer(value.shape(), MemoryTag::gradients);
    std::copy(x.begin(), x.end(), value.data());
    const Tensor weight({1, 1, 3, 3}, MemoryTag::weights);
    std::copy(w.begin(), w.end(), weight.data());
    const Tensor targets = Tensor::zeros({1, 1, 1, 2}, MemoryTag::data, Device::cpu, DType::i32);
    const auto gradient_from = [&](float start) {
      std::fill_n(buffer.data(), 6, start);
      const Variable leaf(value, buffer, "x", rule);
      Tape tape;
      const Variable logits = linear(tape, "linear", leaf, Variable(weight),
                                     Variable(Tensor::zeros({1, 1, 1, 3}, MemoryTag::weights)));
      tape.backward(cross_entropy(tape, "loss", logits, targets).loss, std::vector{leaf});
      return values_of(buffer);
    };
    const Doubles from_zero = gradient_from(0), from_two = gradient_from(2);
    for (std::size_t i = 0; i < 6; ++i)
      CHECK(from_two[i] - from_zero[i] ==
            doctest::Approx(rule == GradientRule::accumulate ? 2 : 0).epsilon(1e-6).scale(1));
  }
}
