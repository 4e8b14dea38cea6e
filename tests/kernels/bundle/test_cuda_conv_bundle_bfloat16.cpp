// SPDX-License-Identifier: MIT
// Convolution bundles on bfloat16: CUDA sources against the float32 CPU twin on rounded inputs.
#include "tests/kernels/bundle/conv_bundle_calls.h"

using namespace drnas;
using namespace drnas::test;
using namespace drnas::test::conv_bundle;

namespace {

Results device_forward(const ConvBundle& b, const Inputs& in, Mode mode, Run run = Run::directly) {
  return forward<Device::cuda, bfloat16>(b, in, mode, run);
}
Results device_backward(const ConvBundle& b, const Inputs& in, const Upstream& up,
                        const Wanted& wanted = {}, Run run = Run::directly) {
  return backward<Device::cuda, bfloat16>(b, in, up, wanted, run);
}

/// What the kernels see of these.
Inputs seen(Inputs in) {
  in.x = rounded<bfloat16>(in.x);
  for (Floats& weight : in.weight) weight = rounded<bfloat16>(weight);
  return in;
}
Upstream seen(Upstream up) {
  for (Floats& dy : up.dy) dy = rounded<bfloat16>(dy);
  for (Floats& z : up.z) z = rounded<bfloat16>(z);
  return up;
}

void check_forward(const ConvBundle& b, const Inputs& in) {
  const Results cpu = forward<Device::cpu>(b, seen(in), Mode::training);
  Results device = device_forward(b, in, Mode::training);
  device.all = in_every_order([&] { return device_forward(b, in, Mode::training).all; });
  const Results still = device_forward(b, in, Mode::no_running),
                evaluation = device_forward(b, in, Mode::evaluation),
                cpu_evaluation = forward<Device::cpu>(b, seen(in), Mode::evaluation);
  for (int s = 0; s < b.sizes; ++s) {
    const Floats z = cpu.at(5 * s);
    check_each(device.at(5 * s), z, bfloat16_rounding,
               2 * tolerance(b.kernel[s] * b.kernel[s] * b.c) * largest(z));
    check_statistics(b, device, s);
    for (int i = 0; i < 3; ++i) CHECK(same_bits(still.at(5 * s + i), device.at(5 * s + i)));
    CHECK(same_bits(evaluation.at(5 * s), device.at(5 * s)));
    for (int i = 1; i < 5; ++i)
      CHECK(same_bits(evaluation.at(5 * s + i), cpu_evaluation.at(5 * s + i)));
  }
}

/// The sums of the magnitudes of all products that an element of dx or dweight is made of.
Results magnitudes(const ConvBundle& b, Inputs in, Upstream up) {
  const auto make_positive = [](std::vector<Floats>& arrays) {
    for (Floats& values : arrays)
      for (float& v : values) v = std::abs(v);
  };
  make_positive(in.weight);
  make_positive(up.dy);
  make_positive(up.z);
  for (auto& of_edge : up.coefficients) make_positive(of_edge);
  for (auto* weights : {&up.skip, &up.pool})
    for (auto& weight : *weights)
      if (weight) weight = std::abs(*weight);
  return backward<Device::cpu>(b, in, up);
}

void check_backward(const ConvBundle& b, const Inputs& in, const Upstream& up) {
  const Results cpu = backward<Device::cpu>(b, seen(in), seen(up)),
                size = magnitudes(b, seen(in), seen(up));
  Results device = device_backward(b, in, up);
  device.all = in_every_order([&] { return device_backward(b, in, up).all; });
  for (int i = 0; i <= b.sizes; ++i) {
    // On the way to dx: dz, its convolution and the sum are rounded; to dweight: dz and the result.
    // Their products cost less than a hundredth more; float32's sums come on top.
    const double store = (i == 0 ? 3.0 : 2.0) * bfloat16_rounding * 1.01;
    const double terms =
        i == 0 ? 18.0 * b.edges * b.c + 2 * b.edges : static_cast<double>(b.pixels());
    const Floats got = device.at(i), expected = cpu.at(i), magnitude = size.at(i);
    REQUIRE(got.size() == expected.size());
    const double floats = 2 * tolerance(terms) * largest(magnitude);
    for (std::size_t j = 0; j < got.size(); ++j)
      if (!(std::abs(got[j] - expected[j]) <= store * magnitude[j] + floats))
        FAIL_CHECK("result ", i, ", element ", j, " is ", got[j], ", expected ", expected[j]);
  }
  // Whatever is left out, the rest keeps its bits.
  for (const Wanted& wanted :
       {Wanted{false}, Wanted{true, {false, false}}, Wanted{true, {true, false}},
        Wanted{false, {false, true}}, Wanted{false, {false, false}}}) {
    const Results part = device_backward(b, in, up, wanted);
    if (wanted.dx) CHECK(same_bits(part.at(0), device.at(0)));
    for (int s = 0; s < b.sizes; ++s)
      if (wanted.dweight[s]) CHECK(same_bits(part.at(1 + s), device.at(1 + s)));
  }
}

/// Every width of vectors; channels beside multiples of eight.
template <class Body>
void each_bfloat16_shape(const Body& body) {
  for (const ConvBundle& b :
       {make_bundle(2, 5, 3, 1, 1, 2, {1, 3}), make_bundle(1, 4, 7, 2, 4, 3, {3, 1}),
        make_bundle(3, 3, 5, 3, 2, 1, {3}), make_bundle(2, 5, 4, 4, 4, 2, {1, 3}),
        make_bundle(1, 6, 6, 6, 1, 3, {1, 3}), make_bundle(2, 2, 5, 8, 2, 2, {3, 1}),
        make_bundle(2, 3, 3, 9, 1, 3, {1, 3}), make_bundle(1, 5, 2, 9, 3, 2, {3}),
        make_bundle(2, 1, 7, 12, 2, 1, {1}), make_bundle(2, 4, 3, 16, 1, 3, {1, 3}),
        make_bundle(2, 3, 4, 18, 2, 2, {1, 3}), make_bundle(1, 3, 3, 24, 1, 1, {3, 1}),
        make_bundle(2, 9, 8, 4, 4, 8, {3}), make_bundle(1, 1, 1, 6, 8, 1, {1, 3})})
    capture_and(b, [&] { body(b); });
}

}  // namespace

TEST_CASE("cuda: conv bundle forward on bfloat16") {
  auto rng = random_engine(81);
  each_bfloat16_shape([&](const ConvBundle& b) { check_forward(b, Inputs(rng, b)); });
}

TEST_CASE("cuda: conv bundle backward on bfloat16") {
  auto rng = random_engine(82);
  each_bfloat16_shape([&](const ConvBundle& b) {
    const Inputs in(rng, b);
    check_backward(b, in, Upstream(rng, b));
  });
}

TEST_CASE("cuda: conv bundles on bfloat16 of edges without some sizes, and of none at all") {
  auto rng = random_engine(84);
  const auto check = [&](const ConvBundle& b) {
    const Inputs in(rng, b);
    check_forward(b, in);
    check_backward(b, in, Upstream(rng, b));
  };
  each_bfloat16_shape([&](const ConvBundle& full) {
    const ConvBundle b = ragged(rng, full);
    capture_and(b, [&] { check(b); });
  });
  for (const ConvBundle& b :
       {make_bundle(2, 9, 8, 16, 1, 8, {1, 3}, {0x04, 0xff}), make_bundle(2, 5, 4, 4, 4, 3, {})})
    capture_and(b, [&] { check(b); });
}

TEST_CASE("cuda: conv bundles on bfloat16 replay from a graph") {
  auto rng = random_engine(83);
  const ConvBundle b = make_bundle(2, 5, 3, 6, 2, 2, {1, 3});
  const Inputs in(rng, b);
  const Upstream up(rng, b);
  CHECK(same_bits(device_forward(b, in, Mode::no_running, Run::replayed).all,
                  device_forward(b, in, Mode::no_running).all));
  CHECK(
      same_bits(device_backward(b, in, up, {}, Run::replayed).all, device_backward(b, in, up).all));
}
