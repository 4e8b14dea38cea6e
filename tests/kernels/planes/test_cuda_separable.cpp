// SPDX-License-Identifier: MIT
// Separable convolutions: CUDA sources against the CPU twin.
#include "kernels/planes/separable.h"

#include <array>

#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/conv_bundle_calls.h"

using namespace drnas;
using namespace drnas::test;
using conv_bundle::Arrays;
using conv_bundle::Floats;
using kernels::Separable;

namespace {

/// One filter's inputs; all images have `gap` elements between them.
struct Filter {
  int kernel, dilation, step;
  bool shared, shares_dx;  ///< x and dx of the filter before
  Floats x, mean, inv_std, gamma, beta, depthwise, pointwise;
  Floats z, g, coefficients;
};

struct Call {
  Separable shape;
  int gap;
  std::vector<Filter> filter;
  Floats start;  // what dx holds

  std::int64_t x_stride() const { return std::int64_t{shape.c} * shape.h * shape.w + gap; }
  std::int64_t z_pixels() const { return std::int64_t{shape.out_h()} * shape.out_w(); }
  std::int64_t z_stride() const { return shape.c_out * z_pixels() + gap; }
  std::int64_t g_stride(const Filter& f) const { return f.step * shape.c_out * z_pixels() + gap; }
};

Call random_call(std::mt19937& engine, const Separable& s) {
  Call call{s, static_cast<int>(engine() % 3 * 5), {}, {}};
  const auto some = [&](std::int64_t count) {
    return normals(engine, static_cast<std::size_t>(count));
  };
  for (int i = 0; i < s.filters; ++i) {
    Filter f{};
    f.kernel = 3 + 2 * static_cast<int>(engine() % 3);
    f.dilation = 1 + static_cast<int>(engine() % 2);
    f.step = 1 + static_cast<int>(engine() % 3);
    f.shared = i > 0 && engine() % 2;
    f.shares_dx = f.shared && engine() % 4;
    if (!f.shared) {
      f.x = some(s.n * call.x_stride());
      if (engine() % 2) {
        f.mean = some(s.c);
        f.inv_std = some(s.c);
        for (float& v : f.inv_std) v = 0.5f + std::abs(v);
        if (engine() % 2) f.gamma = some(s.c);
        if (engine() % 2) f.beta = some(s.c);
      }
    }
    f.depthwise = some(std::int64_t{s.c} * f.kernel * f.kernel);
    f.pointwise = some(std::int64_t{s.c} * s.c_out);
    f.z = some(s.n * call.z_stride());
    f.g = some(s.n * call.g_stride(f));
    if (engine() % 3) f.coefficients = some(3 * s.c_out);
    call.filter.push_back(f);
  }
  call.start = some(s.n * call.x_stride());
  return call;
}

template <Device D>
void place_filters(const Call& call, Arrays<D>& arrays, kernels::SeparableFilter* to) {
  const auto or_null = [&](const Floats& v) { return v.empty() ? nullptr : arrays.add(v); };
  for (int i = 0; i < call.shape.filters; ++i) {
    const Filter& f = call.filter[i];
    to[i].kernel = f.kernel;
    to[i].dilation = f.dilation;
    if (f.shared)
      to[i].in = to[i - 1].in;
    else
      to[i].in = {{arrays.add(f.x), call.x_stride()},
                  or_null(f.mean),
                  or_null(f.inv_std),
                  or_null(f.gamma),
                  or_null(f.beta)};
    to[i].depthwise = arrays.add(f.depthwise);
    to[i].pointwise = arrays.add(f.pointwise);
  }
}

/// All outputs one after the other, unwritten elements as zeros, and the number of products that
/// each of them sums.
struct Results {
  Floats all;
  std::vector<std::size_t> ends;
  std::vector<double> terms;

  void add(Floats values, double count) {
    for (float& v : values)
      if (std::isnan(v)) v = 0;
    all.insert(all.end(), values.begin(), values.end());
    ends.push_back(all.size());
    terms.push_back(count);
  }
  Floats at(std::size_t i) const {
    return Floats(all.begin() + (i ? ends[i - 1] : 0), all.begin() + ends[i]);
  }
};

enum class Mode { training, no_running, evaluation };

template <Device D>
Results forward(const Call& call, Mode mode) {
  const Separable& s = call.shape;
  Arrays<D> arrays;
  kernels::SeparableForward p{};
  p.shape = s;
  p.mode.training = mode != Mode::evaluation;
  place_filters(call, arrays, p.filter);
  for (int f = 0; f < s.filters; ++f) {
    p.z[f] = {arrays.template output<float>(s.n * call.z_stride()), call.z_stride()};
    p.statistics[f].mean = arrays.template output<float>(s.c_out);
    p.statistics[f].inv_std = arrays.template output<float>(s.c_out);
    if (mode == Mode::no_running) continue;
    p.statistics[f].running_mean = arrays.add(Floats(s.c_out, 0.5f));
    p.statistics[f].running_var = arrays.add(Floats(s.c_out, 2.0f));
  }
  void* workspace = arrays.workspace(kernels::separable_forward_workspace<D>(s));
  kernels::separable_forward<D>(p, workspace, nullptr);
  Results out;
  for (int f = 0; f < s.filters; ++f) {
    const double terms = p.filter[f].kernel * p.filter[f].kernel + s.c;
    out.add(arrays.read(p.z[f].data), terms);
    for (const float* statistic : {p.statistics[f].mean, p.statistics[f].inv_std,
                                   p.statistics[f].running_mean, p.statistics[f].running_var})
      out.add(arrays.read(statistic), terms + static_cast<double>(call.z_pixels()));
  }
  return out;
}

struct Wanted {
  bool dx = true, weights = true, accumulate = false;
};

template <Device D>
Results backward(const Call& call, const Wanted& wanted) {
  const Separable& s = call.shape;
  Arrays<D> arrays;
  kernels::SeparableBackward p{};
  p.shape = s;
  p.accumulate = wanted.accumulate;
  place_filters(call, arrays, p.filter);
  for (int i = 0; i < s.filters; ++i) {
    const Filter& f = call.filter[i];
    p.z[i] = {f.coefficients.empty() ? nullptr : arrays.add(f.z), call.z_stride()};
    p.gradient[i] = {{arrays.add(f.g), call.g_stride(f)},
                     f.step,
                     f.coefficients.empty() ? nullptr : arrays.add(f.coefficients)};
    if (wanted.weights && i % 5 != 4) {
      p.ddepthwise[i] = arrays.template output<float>(s.c * f.kernel * f.kernel);
      p.dpointwise[i] = i % 5 == 3 ? nullptr : arrays.template output<float>(s.c * s.c_out);
    }
    if (!wanted.dx) continue;
    if (f.shares_dx)
      p.dx[i] = p.dx[i - 1];
    else
      p.dx[i] = {wanted.accumulate ? arrays.add(call.start)
                                   : arrays.template output<float>(s.n * call.x_stride()),
                 call.x_stride()};
    if (!p.filter[i].in.mean) continue;
    p.input_coefficients[i] = arrays.template output<float>(3 * s.c);
    p.dgamma[i] = i % 3 == 2 ? nullptr : arrays.template output<float>(s.c);
    p.dbeta[i] = i % 3 == 1 ? nullptr : arrays.template output<float>(s.c);
  }
  void* workspace = arrays.workspace(kernels::separable_backward_workspace<D>(s));
  kernels::separable_backward<D>(p, workspace, nullptr);
  Results out;
  for (int i = 0; i < s.filters; ++i) {
    const double inner = p.filter[i].kernel * p.filter[i].kernel + s.c_out,
                 pixels = static_cast<double>(s.n) * static_cast<double>(call.z_pixels());
    out.add(arrays.read(p.dx[i].data), s.filters * (49.0 + s.c_out));
    out.add(arrays.read(p.ddepthwise[i]), pixels + inner);
    out.add(arrays.read(p.dpointwise[i]), pixels + inner);
    for (const float* sums : {p.input_coefficients[i], p.dgamma[i], p.dbeta[i]})
      out.add(arrays.read(sums),
              static_cast<double>(s.n) * s.h * s.w + s.filters * (49.0 + s.c_out));
  }
  return out;
}

/// Rounding of sums of so many products (see sum_tolerance); arrays that cancel, against 1.
void compare(const Floats& on_device, const Results& expected) {
  REQUIRE(on_device.size() == expected.all.size());
  Results got = expected;
  got.all = on_device;
  for (std::size_t i = 0; i < expected.ends.size(); ++i) {
    CAPTURE(i);
    const Floats a = got.at(i), b = expected.at(i);
    double scale = 1;
    for (const float v : b) scale = std::max(scale, static_cast<double>(std::abs(v)));
    double error = 0;
    for (std::size_t k = 0; k < a.size(); ++k)
      error =
          std::max(error, std::isfinite(a[k]) ? std::abs(double{a[k]} - double{b[k]}) : INFINITY);
    CHECK(error <= scale * 0x1p-23 * (16 + 8 * std::sqrt(expected.terms[i])));
  }
}

void check(std::mt19937& engine, const Separable& s, const Wanted& wanted) {
  CAPTURE(s.n);
  CAPTURE(s.c);
  CAPTURE(s.c_out);
  CAPTURE(s.h);
  CAPTURE(s.w);
  CAPTURE(s.stride);
  CAPTURE(s.filters);
  const Call call = random_call(engine, s);
  const Mode mode = std::array{Mode::training, Mode::no_running, Mode::evaluation}[engine() % 3];
  compare(in_every_order([&] { return forward<Device::cuda>(call, mode).all; }),
          forward<Device::cpu>(call, mode));
  compare(in_every_order([&] { return backward<Device::cuda>(call, wanted).all; }),
          backward<Device::cpu>(call, wanted));
}

void check(std::mt19937& engine, const Separable& s) {
  check(
      engine, s,
      std::array<Wanted, 4>{
          Wanted{}, {true, true, true}, {true, false, false}, {false, true, false}}[engine() % 4]);
}

}  // namespace

TEST_CASE("cuda: separable convolutions, whatever the shape") {
  auto engine = random_engine(71);
  const int sizes[] = {1, 2, 3, 5, 8, 9, 13, 17}, channels[] = {1, 2, 3, 4, 6, 9};
  for (int round = 0; round < 24; ++round)
    check(engine, {1 + static_cast<int>(engine() % 3), channels[engine() % 6], sizes[engine() % 8],
                   sizes[engine() % 8], channels[engine() % 6], 1 + round % 2,
                   1 + static_cast<int>(engine() % 3)});
}

TEST_CASE("cuda: separable convolutions, several tiles and ranges of channels") {
  auto engine = random_engine(72);
  check(engine, {1, 2, 33, 35, 3, 1, 2});
  check(engine, {1, 2, 33, 66, 2, 2, 1});
  check(engine, {1, 70, 3, 17, 38, 1, 1});
  check(engine, {1, 144, 8, 8, 144, 1, 1});
  check(engine, {1, 6, 8, 8, 6, 1, 16});
  check(engine, {1, 40, 9, 7, 5, 2, 2});
}

TEST_CASE("cuda: separable convolutions, blocks that take several images") {
  auto engine = random_engine(73);
  check(engine, {70, 2, 2, 3, 2, 1, 16}, {});
}

TEST_CASE("cuda: separable convolutions refuse what they cannot do") {
  kernels::SeparableForward p{};
  p.shape = {1, 1, 4, 4, 1, 3, 1};
  CHECK_THROWS_AS(kernels::separable_forward<Device::cuda>(p, nullptr, nullptr), Error);
  kernels::SeparableBackward b{};
  b.shape = {1, 1, 4, 4, 1, 1, 17};
  CHECK_THROWS_AS(kernels::separable_backward<Device::cuda>(b, nullptr, nullptr), Error);
}
