// SPDX-License-Identifier: MIT
// Norms, optimizers and row softmax: the CUDA kernels against the CPU twins.
#include <limits>

#include "tests/cases/optimizer.h"
#include "tests/cases/softmax_rows.h"
#include "tests/cuda/harness.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

double device_norm(const SquaredNormCase& c) {
  return OnDevice{}([&](auto& b) { return c.norm(b); }).at("total")[0];
}

/// Their sum, without the first `skipped`.
double squares(const Doubles& x, int skipped = 0) {
  double sum = 0;
  for (std::size_t i = skipped; i < x.size(); ++i) sum += x[i] * x[i];
  return sum;
}

/// Largest difference from the CPU's result in units of two ulp of the terms' sizes: compilers fuse
/// multiplications and additions differently.
double sgd_error(const SgdCase& c, const Results& got, const Results& expected) {
  const int* skipped = c.options.skipped;
  const auto difference = [&](const char* name, int at) {
    return std::abs(got.at(name)[at] - expected.at(name)[at]) / (2 * 0x1p-23);
  };
  double worst = 0;
  for (int i = 0; i < c.count; ++i) {
    const double w = c.weights[i + skipped[0]], v = c.velocity[i + skipped[1]],
                 g = c.gradient[i + skipped[2]];
    // Nesterov's update adds the momentum once more.
    const double size = (c.options.nesterov ? 2 : 1) *
                        (std::abs(c.momentum * v) + std::abs(g) + std::abs(c.weight_decay * w));
    const double error =
        std::max(difference("velocity", i + skipped[1]) / size,
                 difference("weights", i + skipped[0]) / (std::abs(w) + c.learning_rate * size));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

void compare_sgd(const SgdCase& c) {
  CAPTURE(c.count);
  CAPTURE(c.options.squared_norm);
  const auto step = [&](auto& b) { return c.step(b); };
  const Results got = OnDevice{}(step);
  const int* skipped = c.options.skipped;
  const bool finite = std::isfinite(c.options.squared_norm);
  if (c.options.copies) {
    Doubles copy(c.count + skipped[3], c.old_copy);
    for (int i = 0; i < c.count && finite; ++i)
      copy[skipped[3] + i] = bfloat16(static_cast<float>(got.at("weights")[skipped[0] + i]));
    CHECK(same_bits(got.at("copy"), copy));
  }
  if (!finite) {
    CHECK(same_bits(got.at("weights"), c.weights));
    CHECK(same_bits(got.at("velocity"), c.velocity));
    return;
  }
  for (int i = 0; i < skipped[0]; ++i) CHECK(got.at("weights")[i] == c.weights[i]);
  for (int i = 0; i < skipped[1]; ++i) CHECK(got.at("velocity")[i] == c.velocity[i]);
  CHECK(sgd_error(c, got, OnCpu{}(step)) <= 1);
}

}  // namespace

TEST_CASE("cuda: squared_norm counts every value once") {
  // Sums of squares of small integers are exact in any order. The last buffer is larger than the
  // largest grid takes at once.
  auto rng = generator(41);
  for (const int count : {1, 3, 4, 7, 1023, 1026, 4096, 4099, 70001, 512 * 4096 + 5000}) {
    CAPTURE(count);
    Doubles values(count);
    for (double& v : values) v = static_cast<double>(1 + rng() % 7);
    Doubles extra(count % 300);
    for (double& v : extra) v = static_cast<double>(1 + rng() % 7);
    CHECK(device_norm({values, extra}) == squares(values) + squares(extra));
    if (count < 10000)
      CHECK(device_norm({values, {}, 1}) == squares(values, 1));  // not aligned for quads
  }
  CHECK(device_norm({{1}, {3, 4}, 1}) == 25);  // float64 values alone
}

TEST_CASE("cuda: squared_norm of random values, and of values that are not finite") {
  auto rng = generator(42);
  Doubles values = normals(rng, 20011);
  const Doubles extra = normals(rng, 30);
  // At most 16 squares and 16 sums in float32, all of one sign.
  const double expected = squares(values) + squares(extra);
  CHECK(std::abs(device_norm({values, extra}) - expected) <= 17 * 0x1p-24 * expected);
  values[20010] = not_a_number;
  CHECK(std::isnan(device_norm({values, extra})));
  values[20010] = -infinity;
  CHECK(device_norm({values, extra}) == infinity);
}

TEST_CASE("cuda: sgd_step agrees with the CPU's") {
  auto rng = generator(43);
  compare_sgd({rng, 0, {4, 1, {1, 2, 3}, true}});
  for (const int count : {1, 3, 4, 5, 1000, 1027, 5003}) {
    compare_sgd({rng, count, {4, 1, {}, true}});         // clipped by a half
    compare_sgd({rng, count, {1e300, 5, {}, true}});     // clipped to almost nothing
    compare_sgd({rng, count, {4, 0, {0, 0, 1}, true}});  // no clipping, and no quads
    compare_sgd({rng, count, {4, 5, {1, 2, 3}, true}});  // a short gradient
    compare_sgd({rng, count, {4, 5, {0, 0, 0, 1}, true}});
    compare_sgd({rng, count, {4, 5, {0, 0, 0, 0}, false}});
    compare_sgd({rng, count, {4, 1, {}, true, true}});
    compare_sgd({rng, count, {4, 5, {1, 2, 3}, false, true}});
    compare_sgd({rng, count, {not_a_number, 5, {}, true}});
    compare_sgd({rng, count, {infinity, 0, {}, true}});
  }
}

TEST_CASE("cuda: softmax_rows and its gradient agree with the CPU's") {
  auto rng = generator(46);
  for (const auto& [edges, ops] : {std::pair{6, 5}, {14, 7}, {1, 1}, {3, 16}, {40, 9}})
    for (const bool masked : {false, true})
      for (const double spread : {1.0, 1000.0}) {
        const SoftmaxRowsCase c(rng, edges, ops, masked, spread);
        const auto forward = [&](auto& b) { return c.forward(b); };
        const Doubles theta = OnCpu{}(forward).at("theta"), got = OnDevice{}(forward).at("theta");
        const auto backward = [&](auto& b) { return c.backward(b, theta); };
        CHECK(max_error(got, theta) <= 1e-14);
        CHECK(max_error(OnDevice{}(backward).at("dalpha"), OnCpu{}(backward).at("dalpha"),
                        *std::max_element(theta.begin(), theta.end())) <= 1e-14);
        for (std::size_t i = 0; i < c.mask.size(); ++i)
          if (!c.mask[i]) CHECK(got[i] == 0);
      }
}
