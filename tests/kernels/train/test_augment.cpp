// SPDX-License-Identifier: MIT
#include "kernels/train/augment.h"

#include <array>
#include <cmath>

#include "tests/cases/augment.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using namespace drnas::kernels;

namespace {

constexpr int batch = 41;

Doubles augmented(const AugmentCase& c) {
  return OnCpu{}([&](auto& b) { return c.batch(b); }).at("out");
}

/// One output value in float64, as the header words it: pad, crop, flip, normalise, erase.
double reference(const AugmentCase& problem, int slot, int y, int x, int c) {
  const Augment& p = problem.p;
  const RandomStream stream(p.seed, Purpose::augment);
  const PhiloxWords words = stream.words(problem.step, static_cast<std::uint32_t>(slot));
  const auto uniform = [](double word, int n) { return static_cast<int>(word / 0x1p32 * n); };
  if (p.cutout > 0) {
    const int row = uniform(static_cast<std::uint32_t>(words.word[2] << 1), p.size);
    const int column = uniform(words.word[3], p.size);
    const int first = -(p.cutout / 2), last = first + p.cutout - 1;
    if (y - row >= first && y - row <= last && x - column >= first && x - column <= last) return 0;
  }
  if (p.flip && words.word[2] >= 0x80000000u) x = p.size - 1 - x;
  if (p.padding > 0) {
    y += uniform(words.word[0], 2 * p.padding + 1) - p.padding;
    x += uniform(words.word[1], 2 * p.padding + 1) - p.padding;
  }
  double value = 0;
  if (y >= 0 && y < p.size && x >= 0 && x < p.size) {
    const int image = problem.indices[problem.first_index() + slot];
    value = problem.pixels[static_cast<std::size_t>(((image * p.size + y) * p.size + x) * 3 + c)];
  }
  return (value / 255 - static_cast<double>(p.mean[c])) / static_cast<double>(p.deviation[c]);
}

/// Also which labels come with the images.
void check_against_reference(const AugmentCase& c) {
  CAPTURE(c.p.size);
  CAPTURE(c.p.cutout);
  const Results got = OnCpu{}([&](auto& b) { return c.batch(b); });
  // Scale and shift are rounded once each, and the sum once; |v scale| < 4.2 and |shift| < 2.
  const double tolerance = (4.2 + 2 + 2.5) * 0x1p-24;
  double worst = 0;
  auto found = got.at("out").begin();
  for (int slot = 0; slot < c.p.batch; ++slot) {
    for (int y = 0; y < c.p.size; ++y)
      for (int x = 0; x < c.p.size; ++x)
        for (int k = 0; k < 3; ++k)
          worst = std::max(worst, std::abs(*found++ - reference(c, slot, y, x, k)));
    CHECK(got.at("labels")[slot] == c.classes[c.indices[c.first_index() + slot]]);
  }
  CHECK(worst <= tolerance);
}

}  // namespace

TEST_CASE("augment: every pixel against the definition") {
  auto rng = generator(7);
  struct Form {
    int size, padding;
    bool flip;
    int cutout;
  };
  for (const Form& f :
       {Form{32, 0, false, 0}, Form{32, 4, true, 0}, Form{32, 4, true, 16}, Form{16, 2, true, 5},
        Form{20, 4, false, 1}, Form{7, 9, true, 7}, Form{33, 0, true, 40}, Form{1, 0, true, 0}})
    for (const std::uint32_t step : {3u, 0xffffffffu})
      for (const bool first_row : {false, true})
        check_against_reference({rng, batch, f.size, f.padding, f.flip, f.cutout, step,
                                 AugmentCase::Labels::wanted, first_row});
}

TEST_CASE("augment: the same for every thread count, and another for another step or seed") {
  auto rng = generator(8);
  const AugmentCase c(rng, batch, 32, 4, true, 8, 9);
  const Doubles first = augmented(c);
  for (int count : {1, 2, 3}) {
    const Threads threads(count);
    CHECK(augmented(c) == first);
  }
  AugmentCase other_step = c, other_seed = c;
  other_step.step = 10;
  other_seed.p.seed += 1;
  CHECK(augmented(other_step) != first);
  CHECK(augmented(other_seed) != first);
}

TEST_CASE("augment: offsets, flips and centres are uniform") {
  // An image that holds its own coordinates shows what was done to it.
  constexpr int size = 32, padding = 4, batch = 20000;
  std::vector<std::uint8_t> pixels(size * size * 3, 1);
  for (int i = 0; i < size * size; ++i) {
    pixels[static_cast<std::size_t>(3 * i)] = static_cast<std::uint8_t>(100 + i % size);
    pixels[static_cast<std::size_t>(3 * i + 1)] = static_cast<std::uint8_t>(100 + i / size);
  }
  const std::vector<std::int32_t> indices(batch, 0);
  std::vector<float> out(std::size_t{batch} * size * size * 3);
  Augment p{};
  p.pixels = pixels.data();
  p.indices = indices.data();
  p.out = out.data();
  p.batch = batch;
  p.size = size;
  p.padding = padding;
  p.flip = true;
  const std::uint32_t step = 0;
  p.step = &step;
  std::fill(p.deviation, p.deviation + 3, 1.0f / 255);  // the output is the pixel's value
  p.purpose = static_cast<std::uint32_t>(Purpose::augment);
  augment<Device::cpu>(p, nullptr);
  std::array<int, 9> rows{}, columns{};
  int flips = 0;
  for (int slot = 0; slot < batch; ++slot) {
    // Rows and columns 12 and 13 always show the image itself.
    const float* pixel = p.out + ((std::int64_t{slot} * size + 12) * size + 12) * 3;
    const bool flipped = pixel[3] < pixel[0];
    flips += flipped;
    const int unmoved = flipped ? size - 1 - 12 : 12;
    ++rows.at(static_cast<std::size_t>(std::lround(pixel[1]) - 100 - 12 + padding));
    ++columns.at(static_cast<std::size_t>(std::lround(pixel[0]) - 100 - unmoved + padding));
  }
  // Five standard deviations of a binomial count; the seed is fixed, so this holds always or never.
  const auto bound = [](double probability) {
    return 5 * std::sqrt(batch * probability * (1 - probability));
  };
  CHECK(std::abs(flips - batch / 2.0) < bound(0.5));
  for (int k : rows) CHECK(std::abs(k - batch / 9.0) < bound(1. / 9));
  for (int k : columns) CHECK(std::abs(k - batch / 9.0) < bound(1. / 9));
}
