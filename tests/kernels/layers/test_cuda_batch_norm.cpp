// SPDX-License-Identifier: MIT
// Batch normalisation: CUDA sources against the CPU twin and float64 statistics, with tensors
// stored as T: float or bfloat16.
#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"
#include "tests/kernels/layers/batch_norm_reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// With tensors that T holds exactly, and no gradient where ReLU's argument is so small that
/// rounding decides on its sign.
template <class T>
BatchNormCase random_case(Rng& rng, std::int64_t pixels, int channels,
                          const BatchNormCase::Options& options) {
  BatchNormCase c(rng, pixels, channels, options);
  for (Doubles* tensor : {&c.x, &c.dy, &c.dx}) *tensor = rounded<T>(*tensor);
  const Doubles y = normalised(c, c.x, c.gamma, c.beta), condition = conditions(c);
  for (std::size_t i = 0; i < y.size(); ++i)
    if (options.relu && std::abs(y[i]) < 128 * float_epsilon * condition[i % channels]) c.dy[i] = 0;
  return c;
}

template <class T>
Results on_device(const BatchNormCase& c, int shift = 0) {
  return OnDevice{every_image({shift})}([&](auto& b) { return c.passes<T>(b); });
}

/// `shift` spoils the tensors' alignment.
template <class T>
void check(const BatchNormCase& c, int shift = 0) {
  CAPTURE(c.pixels);
  CAPTURE(c.channels);
  const Results cpu = OnCpu{}([&](auto& b) { return c.passes(b); });
  const Results device = on_device<T>(c, shift);
  check_statistics(c, device);
  const Moments moments(c.x, c.channels);
  double gradient = 0;  // gradients are differences of terms of this size
  for (int ch = 0; ch < c.channels; ++ch) {
    const double inv_std = 1 / std::sqrt(moments.var[ch] + c.eps);
    gradient = std::max(gradient, (c.options.affine ? std::abs(c.gamma[ch]) : 1) *
                                      (1 + std::abs(moments.mean[ch]) * inv_std) * inv_std);
  }
  const double digits = condition(c);
  const double tolerance = 16 * float_epsilon;  // sums of up to 64 values, in order, on the CPU
  const double store = storage_rounding<T>;
  check_each(device.at("y"), cpu.at("y"), store, tolerance * digits * largest(cpu.at("y")));
  check_each(device.at("evaluated"), cpu.at("evaluated"), store,
             tolerance * largest(cpu.at("evaluated")));
  check_each(device.at("with_dy"), cpu.at("with_dy"), store,
             tolerance * largest(cpu.at("with_dy")));
  const double sums = tolerance * std::sqrt(static_cast<double>(c.pixels));  // of values around one
  for (int ch = 0; ch < c.channels && c.options.leaves; ++ch) {
    CHECK(std::abs(device.at("dgamma")[ch] - cpu.at("dgamma")[ch]) < sums * digits);
    CHECK(std::abs(device.at("dbeta")[ch] - cpu.at("dbeta")[ch]) < sums);
  }
  check_each(device.at("dx"), cpu.at("dx"), store + tolerance, tolerance * gradient);
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: batch_norm, all passes and options, whatever the shape", T, float,
                   bfloat16) {
  auto rng = generator(21);
  const int channels[] = {1, 2, 3, 4, 6, 9, 12, 16, 18, 36, 64, 67};
  for (int i = 0; i < 24; ++i) {
    const int c = channels[i % 12];
    std::int64_t m = pick(rng, {2, 3, 64, 65, 257, 1000, 2049, 5003});
    if (m * c > 40000) m = 129;
    check<T>(random_case<T>(
                 rng, m, c,
                 {rng() % 2 == 0, rng() % 3 != 0, rng() % 3 != 0, rng() % 2 == 0, rng() % 3 != 0}),
             i % 5 ? 0 : pick(rng, {1, 2, 3}));
  }
}

TEST_CASE_TEMPLATE("cuda: batch_norm of more channels than a tile holds", T, float, bfloat16) {
  auto rng = generator(22);
  check<T>(random_case<T>(rng, 37, 258, {true, true, true, true, true}));
  check<T>(random_case<T>(rng, 35, 131, {false, true, true, false, true}));
}

TEST_CASE_TEMPLATE("cuda: batch_norm of more pixels than one round of threads", T, float,
                   bfloat16) {
  auto rng = generator(23);
  check<T>(random_case<T>(rng, 300007, 1, {true, true, true, false, true}));
}

TEST_CASE_TEMPLATE("cuda: batch_norm keeps its digits far from zero, is finite without variance", T,
                   float, bfloat16) {
  auto rng = generator(24);
  BatchNormCase far(rng, 3001, 4, {});
  for (double& v : far.x) v = 1000.0 + std::round(64 * v) / 64;  // exact
  far.x = rounded<T>(far.x);
  check_statistics(far, on_device<T>(far));
  BatchNormCase flat(rng, 7, 3, {});
  flat.x.assign(flat.x.size(), 2.5);
  for (const BatchNormCase& c : {flat, BatchNormCase(rng, 1, 4, {})})
    for (const auto& [name, values] : on_device<T>(c))
      for (const double v : values) CHECK(std::isfinite(v));
}
