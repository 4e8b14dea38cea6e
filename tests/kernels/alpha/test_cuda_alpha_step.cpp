// SPDX-License-Identifier: MIT
// The end of an architecture step: the CUDA kernel against the CPU twin.
#include <limits>

#include "tests/cases/alpha_step.h"
#include "tests/cuda/harness.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr double ulp = 0x1p-52;

template <class Run>
AlphaCase after(const AlphaCase& c) {
  return c.after(Run{}([&](auto& b) { return c.step(b); }));
}

/// What the step moved, which the size of alpha itself hides.
Doubles moved(const AlphaCase& after, const AlphaCase& before) {
  Doubles out = after.table(after.alpha);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] -= before.values[i];
  return out;
}

double largest_difference(const Doubles& a, const Doubles& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(a[i] - b[i]) <= most)) most = std::abs(a[i] - b[i]);
  return most;
}

const std::pair<int, int> shapes[] = {{1, 1},  {1, 2},  {6, 5},  {4, 8},  {14, 7},
                                      {28, 8}, {32, 8}, {37, 7}, {28, 16}};

}  // namespace

TEST_CASE("cuda: alpha_step agrees with the CPU's") {
  auto rng = generator(51);
  for (const auto& [edges, ops] : shapes)
    for (const bool draws : {true, false})
      for (const double kl : {0.0, 0.3})
        for (const bool masked : {false, true}) {
          CAPTURE(edges);
          CAPTURE(ops);
          CAPTURE(draws);
          CAPTURE(kl);
          CAPTURE(masked);
          AlphaCase before(rng, edges, ops, draws, kl, masked);
          before.steps = static_cast<std::int64_t>(rng() % 1000);
          const AlphaCase expected = after<OnCpu>(before), got = after<OnDevice>(before);
          CHECK(got.steps == before.steps + 1);
          // The same operations; compilers fuse them differently, sums of up to 16 terms cancel
          // (the divergence's slope of a single entry to nothing).
          CHECK(largest_difference(got.table(got.gradient), expected.table(got.gradient)) <=
                64 * ulp * (1 + std::sqrt(expected.squared_norm())));
          const Doubles gradient = got.table(got.gradient);
          const double squares = dot(gradient, gradient);
          CHECK(std::abs(got.squared_norm() - squares) <= 256 * ulp * (squares + ulp));
          for (const AlphaCase::Table t : {got.alpha, got.first, got.second})
            CHECK(max_error(got.table(t), expected.table(t)) <= 64 * ulp);
          CHECK(max_error(moved(got, before), moved(expected, before)) <= 1e-11);
          for (int t = AlphaCase::dtheta; t < AlphaCase::tables; ++t)
            CHECK(same_bits(got.table(AlphaCase::Table(t)), before.table(AlphaCase::Table(t))));
        }
}

TEST_CASE("cuda: alpha_step leaves alpha as it was where one gradient is not finite") {
  auto rng = generator(52);
  using Limits = std::numeric_limits<double>;
  for (const auto& [edges, ops] : shapes)
    for (const double fault : {Limits::quiet_NaN(), -Limits::infinity(), 1e200})
      for (const int place : {0, edges * ops / 2, edges * ops - 1}) {
        AlphaCase before(rng, edges, ops, false, 0.0, false);
        before.steps = 7;
        before.at(before.gradient)[place] = fault;
        const AlphaCase got = after<OnDevice>(before);
        CHECK(!std::isfinite(got.squared_norm()));
        CHECK(got.steps == 7);
        for (const AlphaCase::Table t : {got.alpha, got.first, got.second})
          CHECK(same_bits(got.table(t), before.table(t)));
      }
}
