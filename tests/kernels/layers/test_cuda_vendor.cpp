// SPDX-License-Identifier: MIT
// Convolutions and linear layers against the CPU twins: our own and the libraries'. On the host
// executor stand-ins take the libraries' place (tests/simt/vendor_*.cpp).
#include "tests/cases/conv2d.h"
#include "tests/cases/linear.h"
#include "tests/cuda/conv_source.h"
#include "tests/cuda/harness.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv2d;
using kernels::ConvMath;
using kernels::Linear;

namespace {

const Conv2d conv_shapes[] = {{2, 8, 8, 8, 16, 1, 1, 0},    {3, 7, 9, 16, 8, 3, 1, 1},
                              {2, 9, 7, 16, 32, 3, 2, 1},   {2, 8, 8, 16, 32, 1, 2, 0},
                              {5, 8, 8, 64, 64, 3, 1, 1},   {1, 5, 5, 24, 40, 3, 1, 1},
                              {2, 16, 16, 32, 32, 3, 2, 1}, {64, 4, 4, 64, 128, 1, 2, 0}};

/// Compares every pass of every shape, of inputs in T; `tolerance(terms)`.
template <class T, class Place, class Tolerance>
void compare_convolutions(const Place& place, const Tolerance& tolerance) {
  auto rng = generator(300);
  for (const Conv2d& p : conv_shapes) {
    Conv2dCase c(rng, p);
    for (Doubles* tensor : {&c.x, &c.w, &c.dy}) *tensor = rounded<T>(*tensor);
    for (const auto pass : c.passes) {
      INFO("pass ", static_cast<int>(pass), ", n ", p.n, ", ", p.h, " x ", p.w, ", channels ",
           p.c_in, " -> ", p.c_out, ", kernel ", p.kernel, ", stride ", p.stride);
      const Results cpu = OnCpu{}([&](auto& b) { return c.pass(b, pass); });
      each_source([&] {
        // Larger ones of our own are slow on the host executor; test_cuda_tile_conv has more
        // shapes.
        if (kernels::wants_tiles() && p.flops() > 1e6) return;
        const Results got = OnDevice{}([&](auto& b) { return place(c, b, pass); });
        for (const auto& [name, values] : cpu)
          CHECK(max_error(got.at(name), values) < tolerance(c.terms(pass)));
      });
    }
  }
}

constexpr auto in_float32 = [](const Conv2dCase& c, auto& b, auto pass) { return c.pass(b, pass); };

}  // namespace

TEST_CASE("cuda: the three passes of convolutions in float32") {
  REQUIRE(kernels::conv_math() == ConvMath::fp32);
  // Both sides round; TF32 would be off by some 3e-4.
  compare_convolutions<float>(in_float32, [](double terms) { return 2 * sum_tolerance(terms); });
}

TEST_CASE("cuda: convolutions in TF32 are close") {
  kernels::set_conv_math(ConvMath::tf32);
  CHECK(kernels::conv_math() == ConvMath::tf32);
  // Each product is off by up to 2^-10 of itself; the errors of a sum grow as its values do.
  compare_convolutions<float>(in_float32, [](double) { return 0x1p-9; });
  kernels::set_conv_math(ConvMath::fp32);
}

TEST_CASE("cuda: the three passes of convolutions in bfloat16") {
  // The result is rounded to 8 bits, the sums are float32.
  compare_convolutions<bfloat16>(
      [](const Conv2dCase& c, auto& b, auto pass) { return c.pass_bfloat16(b, pass); },
      [](double) { return 0x1p-8; });
}

TEST_CASE("cuda: linear layers, with and without bias, gradients overwritten and added to") {
  auto rng = generator(400);
  for (const Linear& p : {Linear{64, 64, 10},
                          {1, 8, 4},
                          {7, 1, 5},
                          {65, 3, 1},
                          {5, 7, 3},
                          {40, 64, 100},
                          {33, 17, 130},
                          {128, 256, 257}})
    for (const bool with_bias : {true, false})
      for (const bool accumulate : {true, false}) {
        INFO(p.n, " x ", p.in, " -> ", p.out, ", bias ", with_bias, ", accumulate ", accumulate);
        const LinearCase c(rng, p, with_bias);
        const std::map<std::string, double> terms = {
            {"y", p.in + 1}, {"dx", p.out + 1}, {"dw", p.n}, {"db", p.n}};
        const auto compare = [&](const auto& place) {
          const Results got = OnDevice{}(place);
          for (const auto& [name, expected] : OnCpu{}(place)) {
            CAPTURE(name);
            // Against the size of such sums, where a single one happens to be small.
            CHECK(max_error(got.at(name), expected, std::sqrt(terms.at(name))) <
                  2 * sum_tolerance(terms.at(name)));
          }
        };
        each_source([&] {
          compare([&](auto& b) { return c.forward(b); });
          compare([&](auto& b) { return c.backward(b, accumulate); });
        });
      }
}

TEST_CASE("cuda: convolutions and linear layers can be captured and replayed") {
  auto rng = generator(500);
  const Conv2dCase conv(rng, {4, 8, 8, 16, 16, 3, 1, 1});
  const LinearCase linear(rng, {64, 64, 10});
  each_source([&] {
    for (const auto pass : conv.passes) check_replay([&](auto& b) { return conv.pass(b, pass); });
    check_replay([&](auto& b) { return linear.forward(b); });
    check_replay([&](auto& b) { return linear.backward(b, false); });
  });
}
