// SPDX-License-Identifier: MIT
// Cross entropy: the CUDA kernels against the CPU twins.
#include "tests/cases/cross_entropy.h"
#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// Logits on a coarse grid, so that many of them tie.
CrossEntropyCase random_case(Rng& rng, int n, int classes, float smoothing, double spread) {
  CrossEntropyCase c(rng, n, classes, smoothing);
  for (double& v : c.logits) v = std::round(4 * v) / 4 * spread;
  return c;
}

void compare(const CrossEntropyCase& c) {
  CAPTURE(c.p.n);
  CAPTURE(c.p.classes);
  const auto forward = [&](auto& b) { return c.forward(b); };
  const auto backward = [&](auto& b) { return c.backward(b); };
  const Results cpu = OnCpu{}(forward), device = OnDevice{}(forward);
  const double most = std::max(1.0, largest(c.logits)), loss = device.at("result")[0],
               expected = cpu.at("result")[0];
  CHECK(std::isfinite(loss));
  CHECK(std::abs(loss - expected) <= 1e-12 * std::abs(expected) + 4 * 0x1p-52 * most);
  CHECK(device.at("loss")[0] == static_cast<float>(loss));
  CHECK(device.at("result")[1] == cpu.at("result")[1]);
  CHECK(device.at("result")[2] == cpu.at("result")[2]);
  // Two roundings to float32, and what float64 loses in the exponent and in share - target.
  check_each(OnDevice{}(backward).at("dlogits"), OnCpu{}(backward).at("dlogits"), 0x1p-22,
             c.scale / c.p.n * 8 * 0x1p-52 * most);
}

}  // namespace

TEST_CASE("cuda: cross entropy agrees with the CPU's") {
  auto rng = generator(31);
  const std::pair<int, int> shapes[] = {{1, 1},  {1, 10},  {5, 2},   {64, 10},
                                        {33, 3}, {67, 31}, {40, 33}, {7, 100}};
  for (const auto& [n, classes] : shapes)
    for (const float smoothing : {0.0f, 0.1f}) compare(random_case(rng, n, classes, smoothing, 2));
}

TEST_CASE("cuda: cross entropy of large logits is finite, equal logits rank by index") {
  auto rng = generator(32);
  compare(random_case(rng, 37, 10, 0.1f, 1e4));
  CrossEntropyCase c(rng, 12, 12, 0);
  c.logits.assign(c.logits.size(), 3.0);
  c.scale = 1;
  for (int i = 0; i < 12; ++i) c.labels[i] = i;
  compare(c);
  Results got = OnDevice{}([&](auto& b) { return c.forward(b); });
  CHECK(got.at("result")[1] == 1);
  CHECK(got.at("result")[2] == 5);
  c.logits.assign(c.logits.size(), std::numeric_limits<double>::quiet_NaN());
  got = OnDevice{}([&](auto& b) { return c.forward(b); });
  CHECK(got.at("result")[1] == 0);
  CHECK(got.at("result")[2] == 0);
}
