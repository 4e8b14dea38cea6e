// SPDX-License-Identifier: MIT
// Draws and their gradients for concentrations from 1e-30 to 1e6: the CUDA kernels against the CPU
// twins.
#include "tests/cases/dirichlet.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// Finite, and within `relative` of each; in rows [ops] with a concentration above 1,000 within
/// more in its proportion, as the derivative's error grows from there (dirichlet_math.h).
void check_close(const Doubles& got, const Doubles& expected, double relative,
                 const Doubles& concentrations, int ops) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto row = concentrations.begin() + static_cast<std::ptrdiff_t>(i) / ops * ops;
    const double largest = *std::max_element(row, row + ops);
    CAPTURE(i);
    CAPTURE(largest);
    CHECK(std::isfinite(got[i]));
    const double bound = relative * std::max(1.0, largest / 1e3);
    CHECK(std::abs(got[i] - expected[i]) <= bound * std::abs(expected[i]) + 1e-300);
  }
}

}  // namespace

TEST_CASE("cuda: draws of extreme concentrations agree with the CPU's") {
  auto rng = generator(911);
  std::uniform_real_distribution<double> exponent(-30, 6);
  for (const int ops : {2, 7, 16}) {
    DirichletCase c(rng, 12, ops);
    for (double& a : c.alpha) {
      const double beta = std::pow(10.0, exponent(rng));
      a = beta > 1 ? beta - 1 : std::log(beta);
    }
    for (int i = 0; i < ops; ++i) {
      c.alpha[i] = std::log(1e-30);
      c.alpha[ops + i] = 1e6 - 1;
      c.alpha[2 * ops + i] = -1e3;
      c.alpha[3 * ops + i] = i == 0 ? 1e6 - 1 : -1e3;
    }
    for (c.step = 0; c.step < 5; ++c.step) {
      const auto sample = [&](auto& b) { return c.sample(b); };
      const auto backward = [&](auto& b) { return c.backward(b); };
      const Results cpu = OnCpu{}(sample), device = OnDevice{}(sample);
      // A logarithm of up to 1e30 is divided by a concentration before its exponential is taken:
      // what two libraries round differently there counts in the shares of a draw.
      for (const std::string name : {"concentration", "theta", "raw_theta", "derivative"}) {
        CAPTURE(name);
        check_close(device.at(name), cpu.at(name), 1e-9, cpu.at("concentration"), ops);
      }
      check_close(OnDevice{}(backward).at("dalpha"), OnCpu{}(backward).at("dalpha"), 1e-8,
                  cpu.at("concentration"), ops);
    }
  }
}
