// SPDX-License-Identifier: MIT
// Draws and their gradients for concentrations from 1e-30 to 1e6: the CUDA kernels against the CPU
// twins.
#include "tests/cases/dirichlet.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// Finite, and within `relative` of each.
void check_close(const Doubles& got, const Doubles& expected, double relative) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::isfinite(got[i]));
    CHECK(std::abs(got[i] - expected[i]) <= relative * std::abs(expected[i]) + 1e-300);
  }
}

/// The same of derivatives, row by row [ops]. Near the mean of a draw their sums cancel, by more
/// the larger the concentration is: two compilations of one source were found to differ by 8e-12 of
/// the derivative at 1e3, 2e-10 at 1e4, 5e-9 at 1e5 and 1.2e-7 at 1e6.
void check_derivatives(const Doubles& got, const Doubles& expected, double relative,
                       const Doubles& concentrations, int ops) {
  REQUIRE(got.size() == concentrations.size());
  for (auto row = std::ptrdiff_t{0}; row < std::ssize(got); row += ops) {
    const auto row_of = [&](const Doubles& all) {
      return Doubles(all.begin() + row, all.begin() + row + ops);
    };
    const Doubles concentration = row_of(concentrations);
    const double largest = *std::max_element(concentration.begin(), concentration.end());
    CAPTURE(largest);
    check_close(row_of(got), row_of(expected), relative * std::max(1.0, largest / 1e3));
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
      for (const std::string name : {"concentration", "theta", "raw_theta"}) {
        CAPTURE(name);
        check_close(device.at(name), cpu.at(name), 1e-9);
      }
      const Doubles& concentrations = cpu.at("concentration");
      check_derivatives(device.at("derivative"), cpu.at("derivative"), 1e-9, concentrations, ops);
      check_derivatives(OnDevice{}(backward).at("dalpha"), OnCpu{}(backward).at("dalpha"), 1e-8,
                        concentrations, ops);
    }
  }
}
