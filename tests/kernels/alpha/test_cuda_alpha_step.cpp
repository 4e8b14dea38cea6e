// SPDX-License-Identifier: MIT
// The end of an architecture step: the CUDA kernel against the CPU twin.
#include <limits>

#include "tests/cases/alpha_step.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr double ulp = 0x1p-52;

/// The case as the device leaves it.
AlphaCase on_device(const AlphaCase& c) {
  AlphaCase out = c;
  const std::vector<double> words = in_every_order([&] {
    const DeviceArray<double> values(c.values);
    const DeviceArray<std::uint8_t> mask(c.mask.empty() ? std::vector<std::uint8_t>(1) : c.mask);
    const DeviceArray<std::int64_t> steps(std::vector<std::int64_t>{c.steps});
    kernels::alpha_step<Device::cuda>(c.describe(values, mask, steps), nullptr);
    std::vector<double> all = values.read();
    all.push_back(static_cast<double>(steps.read()[0]));
    return all;
  });
  out.values.assign(words.begin(), words.end() - 1);
  out.steps = static_cast<std::int64_t>(words.back());
  return out;
}

/// What the step moved, which the size of alpha itself hides.
std::vector<double> moved(const AlphaCase& after, const AlphaCase& before) {
  std::vector<double> out = after.table(after.alpha);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] -= before.values[i];
  return out;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(a[i] - b[i]) <= most)) most = std::abs(a[i] - b[i]);
  return most;
}

const std::pair<int, int> shapes[] = {{1, 1},  {1, 2},  {6, 5},  {4, 8},  {14, 7},
                                      {28, 8}, {32, 8}, {37, 7}, {28, 16}};

}  // namespace

TEST_CASE("cuda: alpha_step agrees with the CPU's") {
  auto engine = random_engine(51);
  for (const auto& [edges, ops] : shapes)
    for (const bool draws : {true, false})
      for (const double kl : {0.0, 0.3})
        for (const bool masked : {false, true}) {
          CAPTURE(edges);
          CAPTURE(ops);
          CAPTURE(draws);
          CAPTURE(kl);
          CAPTURE(masked);
          AlphaCase before(engine, edges, ops, draws, kl, masked);
          before.steps = static_cast<std::int64_t>(engine() % 1000);
          AlphaCase expected = before;
          expected.run_on_cpu();
          const AlphaCase got = on_device(before);
          CHECK(got.steps == before.steps + 1);
          // The same operations; compilers fuse them differently, sums of up to 16 terms cancel
          // (the divergence's slope of a single entry to nothing).
          CHECK(largest_difference(got.table(got.gradient), expected.table(got.gradient)) <=
                64 * ulp * (1 + std::sqrt(expected.squared_norm())));
          CHECK(std::abs(got.squared_norm() - expected.squared_norm()) <=
                256 * ulp * (expected.squared_norm() + ulp));
          for (const AlphaCase::Table t : {got.alpha, got.first, got.second})
            CHECK(relative_error(got.table(t), expected.table(t)) <= 64 * ulp);
          CHECK(relative_error(moved(got, before), moved(expected, before)) <= 1e-11);
          for (int t = AlphaCase::dtheta; t < AlphaCase::tables; ++t)
            CHECK(same_bits(got.table(AlphaCase::Table(t)), before.table(AlphaCase::Table(t))));
        }
}

TEST_CASE("cuda: alpha_step leaves alpha as it was where one gradient is not finite") {
  auto engine = random_engine(52);
  using Limits = std::numeric_limits<double>;
  for (const auto& [edges, ops] : shapes)
    for (const double fault : {Limits::quiet_NaN(), -Limits::infinity(), 1e200})
      for (const int place : {0, edges * ops / 2, edges * ops - 1}) {
        AlphaCase before(engine, edges, ops, false, 0.0, false);
        before.steps = 7;
        before.at(before.gradient)[place] = fault;
        const AlphaCase got = on_device(before);
        CHECK(!std::isfinite(got.squared_norm()));
        CHECK(got.steps == 7);
        for (const AlphaCase::Table t : {got.alpha, got.first, got.second})
          CHECK(same_bits(got.table(t), before.table(t)));
      }
}
