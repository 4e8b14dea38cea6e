// SPDX-License-Identifier: MIT
// Winograd and pointwise convolutions against a direct convolution in double.
#include "kernels/layers/winograd.h"

#include "kernels/layers/conv1x1.h"
#include "tests/support/reference.h"

namespace {

using namespace drnas::kernels;
using drnas::test::Guarded;

/// Random data of one convolution and its three passes in double. Weights beyond `rows` and
/// `columns` are zero.
struct Problem {
  Conv2d shape;
  int rows, columns;
  Guarded x, y, weights;  // weights [rows, k, k, columns]
  std::vector<double> forward, backward_data, backward_weight;

  Problem(const Conv2d& s, int padding_rows, int padding_columns)
      : shape(s),
        rows(s.c_out - padding_rows),
        columns(s.c_in - padding_columns),
        x(std::size_t(s.n) * s.h * s.w * s.c_in),
        y(std::size_t(s.n) * s.h * s.w * s.c_out),
        weights(std::size_t(rows) * s.kernel * s.kernel * columns),
        forward(y.count()),
        backward_data(x.count()),
        backward_weight(weights.count()) {
    std::mt19937 random(
        static_cast<unsigned>(s.n * 31 + s.h * 17 + s.w * 13 + s.c_in * 7 + s.c_out));
    std::normal_distribution<float> normal;
    const float range = 1.0f / std::sqrt(static_cast<float>(s.kernel * s.kernel * s.c_in));
    std::uniform_real_distribution<float> uniform(-range, range);
    for (std::size_t i = 0; i < x.count(); ++i) x[i] = std::max(0.0f, normal(random));
    for (std::size_t i = 0; i < y.count(); ++i) y[i] = normal(random);
    for (std::size_t i = 0; i < weights.count(); ++i) weights[i] = uniform(random);
    convolve_directly();
  }

 private:
  void convolve_directly() {
    const Conv2d& s = shape;
    const int k = s.kernel;
    for (int out = 0; out < s.n * s.h * s.w; ++out)
      for (int tap = 0; tap < k * k; ++tap) {
        const int row = out / s.w % s.h + tap / k - s.padding,
                  column = out % s.w + tap % k - s.padding;
        if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
        const std::size_t in = (std::size_t(out / s.w / s.h) * s.h + row) * s.w + column;
        for (int o = 0; o < rows; ++o)
          for (int c = 0; c < columns; ++c) {
            const std::size_t at_x = in * s.c_in + c, at_y = std::size_t(out) * s.c_out + o,
                              at_w = (std::size_t(o) * k * k + tap) * columns + c;
            forward[at_y] += double{x[at_x]} * weights[at_w];
            backward_data[at_x] += double{y[at_y]} * weights[at_w];
            backward_weight[at_w] += double{x[at_x]} * y[at_y];
          }
      }
  }
};

double relative_error(Guarded& value, const std::vector<double>& reference, double scale) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    difference += std::pow(value[i] - scale * reference[i], 2);
    norm += std::pow(scale * reference[i], 2);
  }
  return std::sqrt(difference / norm);
}

/// How much the transforms of F(m, 3) with these finite points (and infinity) enlarge rounding
/// errors, in two dimensions. For independent random d and g of variance 1 the product at point p
/// has variance |B_p|^2 |G_p|^2 and carries an error in proportion; an output is a sum of 3
/// products and collects A_kp times the error of each point. Squared for two dimensions.
double amplification(const std::vector<double>& points) {
  const int m = static_cast<int>(points.size()) - 1;
  double variance = 0;
  std::vector<double> all{1.0};  // coefficients of prod (x - q), the row of B^T for infinity
  const auto times = [](std::vector<double> polynomial, double root) {
    polynomial.push_back(0.0);
    for (std::size_t i = polynomial.size() - 1; i > 0; --i)
      polynomial[i] = polynomial[i - 1] - root * polynomial[i];
    polynomial[0] *= -root;
    return polynomial;
  };
  const auto square = [](const std::vector<double>& v) {
    double sum = 0;
    for (const double e : v) sum += e * e;
    return sum;
  };
  for (const double p : points) {
    std::vector<double> b{1.0};
    double norm = 1, a2 = 0;
    for (const double q : points)
      if (q != p) {
        b = times(b, q);
        norm *= p - q;
      }
    for (int k = 0; k < m; ++k) a2 += std::pow(p, 2 * k);
    variance += a2 / m * square(b) * (1 + p * p + std::pow(p, 4)) / (norm * norm);
    all = times(all, p);
  }
  variance += square(all) / m;
  return variance / 3;
}

/// Bound on the relative L2 error. Rounding is a random walk: a sum of `depth` terms in sequence
/// collects sqrt(depth/6) units of 2^-24, transforms and product (some ten operations in a row)
/// about 3 more.
double error_bound(int tile, double depth) {
  const double r = std::sqrt(0.5);
  const double enlarged = tile == 1   ? 1.0
                          : tile == 2 ? amplification({0, 1, -1})
                                      : amplification({0, r, -r, 2 * r, -2 * r});
  return enlarged * std::ldexp(1.0, -24) * (3 + std::sqrt(depth / 6));
}

void run(const WinogradPlan& plan, const float* x, const float* packed, const float* y,
         bool accumulate) {
  Guarded scratch(plan.scratch_bytes() / sizeof(float));
  plan.run(x, packed, y, scratch.data(), accumulate);
}
void run(const Conv1x1Plan& plan, const float* x, const float* packed, const float* y,
         bool accumulate) {
  plan.run(x, packed, y, accumulate);
}

/// Runs one pass and then once more on top; results count once and twice.
template <class Plan>
void check_pass(Problem& problem, const Plan& plan, ConvPass pass, double bound) {
  CAPTURE(static_cast<int>(pass));
  Guarded packed(plan.packed_bytes() / sizeof(float));
  const bool weight = pass == ConvPass::backward_weight, forward = pass == ConvPass::forward;
  if (!weight) plan.pack(problem.weights.data(), problem.rows, problem.columns, packed.data());
  Guarded result((weight ? problem.weights : forward ? problem.y : problem.x).count());
  const std::vector<double>& reference = weight    ? problem.backward_weight
                                         : forward ? problem.forward
                                                   : problem.backward_data;
  const float* x = forward || weight ? problem.x.data() : result.data();
  const float* y = forward ? result.data() : problem.y.data();
  for (int times = 1; times <= 2; ++times) {
    run(plan, x, packed.data(), y, times == 2);
    if (weight) plan.unpack(packed.data(), result.data(), problem.rows, problem.columns);
    CHECK(relative_error(result, reference, times) < bound);
  }
  for (std::size_t i = 0; i < reference.size(); ++i)  // the channels of missing rows or columns
    if (reference[i] == 0.0 && !weight) REQUIRE(result[i] == 0.0f);
}

struct Case {
  int n, h, w, c_in, c_out, padding_rows, padding_columns;
};
constexpr Case cases[] = {
    {2, 8, 8, 16, 48, 0, 0},   {3, 7, 5, 8, 24, 0, 0},    {1, 1, 1, 8, 8, 0, 0},
    {2, 3, 9, 24, 16, 0, 0},   {1, 4, 10, 64, 40, 0, 0},  {5, 6, 6, 16, 16, 1, 3},
    {3, 16, 16, 32, 32, 0, 0}, {1, 2, 13, 16, 24, 6, 0},  {4, 8, 8, 64, 192, 0, 0},
    {2, 11, 12, 8, 16, 9, 0},  {1, 32, 32, 16, 48, 0, 0}, {1, 5, 4, 24, 8, 0, 7},
};

constexpr ConvPass passes[] = {ConvPass::forward, ConvPass::backward_data,
                               ConvPass::backward_weight};

}  // namespace

TEST_CASE("winograd: three passes agree with the direct convolution") {
  for (const Case& c : cases) {
    const Conv2d shape{c.n, c.h, c.w, c.c_in, c.c_out, 3, 1, 1};
    Problem problem(shape, c.padding_rows, c.padding_columns);
    for (const int tile : {2, 4})
      for (const ConvPass pass : passes) {
        CAPTURE(c.h);
        CAPTURE(c.w);
        CAPTURE(c.c_in);
        CAPTURE(c.c_out);
        CAPTURE(tile);
        REQUIRE(WinogradPlan::supports(shape, pass));
        const double tiles = double(c.n) * ((c.h + tile - 1) / tile) * ((c.w + tile - 1) / tile);
        const double depth = pass == ConvPass::forward         ? c.c_in
                             : pass == ConvPass::backward_data ? c.c_out
                                                               : 2 * tiles;
        check_pass(problem, WinogradPlan(shape, pass, tile), pass, error_bound(tile, depth));
      }
  }
}

TEST_CASE("winograd: the tile is the one with fewer products, and other shapes are refused") {
  CHECK(WinogradPlan({1, 8, 8, 8, 8, 3, 1, 1}, ConvPass::forward).tile() == 4);
  CHECK(WinogradPlan({1, 2, 2, 8, 8, 3, 1, 1}, ConvPass::forward).tile() == 2);
  CHECK(WinogradPlan({1, 5, 5, 8, 8, 3, 1, 1}, ConvPass::forward).tile() == 2);
  for (const ConvPass pass : passes) {
    CHECK_FALSE(WinogradPlan::supports({1, 8, 8, 8, 8, 3, 2, 1}, pass));
    CHECK_FALSE(WinogradPlan::supports({1, 8, 8, 8, 8, 3, 1, 0}, pass));
    CHECK_FALSE(WinogradPlan::supports({1, 8, 8, 8, 8, 5, 1, 2}, pass));
    CHECK_FALSE(WinogradPlan::supports({1, 8, 8, 12, 8, 3, 1, 1}, pass));
    CHECK_FALSE(WinogradPlan::supports({1, 8, 8, 8, 4, 3, 1, 1}, pass));
  }
}

TEST_CASE("pointwise convolution: three passes agree with the direct convolution") {
  for (const Case& c : cases) {
    const Conv2d shape{c.n, c.h, c.w, c.c_in, c.c_out, 1, 1, 0};
    Problem problem(shape, c.padding_rows, c.padding_columns);
    for (const ConvPass pass : passes) {
      CAPTURE(c.h);
      CAPTURE(c.c_in);
      CAPTURE(c.c_out);
      REQUIRE(Conv1x1Plan::supports(shape, pass));
      const double depth = pass == ConvPass::forward         ? c.c_in
                           : pass == ConvPass::backward_data ? c.c_out
                                                             : 2.0 * c.n * c.h * c.w;
      check_pass(problem, Conv1x1Plan(shape, pass), pass, error_bound(1, depth));
    }
  }
}
