// SPDX-License-Identifier: MIT
#include "kernels/train/augment.h"

#include <omp.h>

#include <array>
#include <cmath>

#include "kernels/random/philox.h"
#include "tests/data/data_files.h"

namespace drnas::kernels {
namespace {

struct Case {
  int size, padding;
  bool flip;
  int cutout;
};

/// A batch, its inputs and a guard float on either side of the output.
struct Problem {
  static constexpr int images = 5, batch = 41;
  static constexpr float guard = 12345.0f;
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> indices;
  std::vector<float> out;
  std::uint32_t drawn_step = 0;
  Augment p{};

  Problem(const Case& c, std::uint64_t seed, std::uint32_t step) {
    const auto elements = static_cast<std::size_t>(c.size) * static_cast<std::size_t>(c.size) * 3;
    pixels = test_files::random_bytes(images * elements, 7);
    for (int i = 0; i < batch; ++i) indices.push_back((3 * i + 1) % images);
    out.assign(batch * elements + 2, guard);
    p.pixels = pixels.data();
    p.indices = indices.data();
    p.out = out.data() + 1;
    p.batch = batch;
    p.size = c.size;
    p.padding = c.padding;
    p.flip = c.flip;
    p.cutout = c.cutout;
    const float mean[3] = {0.49f, 0.48f, 0.45f}, deviation[3] = {0.247f, 0.243f, 0.262f};
    std::copy(mean, mean + 3, p.mean);
    std::copy(deviation, deviation + 3, p.deviation);
    p.seed = seed;
    drawn_step = step;
    p.step = &drawn_step;
    p.purpose = static_cast<std::uint32_t>(Purpose::augment);
  }
};

/// One output value in float64, as the header words it: pad, crop, flip, normalise, erase.
double reference(const Problem& problem, int slot, int y, int x, int c) {
  const Augment& p = problem.p;
  const RandomStream stream(p.seed, Purpose::augment);
  const PhiloxWords words = stream.words(*p.step, static_cast<std::uint32_t>(slot));
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
    const int image = problem.indices[static_cast<std::size_t>(slot)];
    value = problem.pixels[static_cast<std::size_t>(((image * p.size + y) * p.size + x) * 3 + c)];
  }
  return (value / 255 - static_cast<double>(p.mean[c])) / static_cast<double>(p.deviation[c]);
}

void check_against_reference(const Case& c, std::uint64_t seed, std::uint32_t step) {
  Problem problem(c, seed, step);
  augment<Device::cpu>(problem.p, nullptr);
  CHECK(problem.out.front() == Problem::guard);
  CHECK(problem.out.back() == Problem::guard);
  // Scale and shift are rounded once each, and the sum once; |v scale| < 4.2 and |shift| < 2.
  const double tolerance = (4.2 + 2 + 2.5) * 0x1p-24;
  double worst = 0;
  const float* found = problem.p.out;
  for (int slot = 0; slot < Problem::batch; ++slot) {
    for (int y = 0; y < c.size; ++y) {
      for (int x = 0; x < c.size; ++x) {
        for (int k = 0; k < 3; ++k) {
          const double expected = reference(problem, slot, y, x, k);
          worst = std::max(worst, std::abs(static_cast<double>(*found++) - expected));
        }
      }
    }
  }
  CHECK(worst <= tolerance);
}

}  // namespace

TEST_CASE("augment: every pixel against the definition") {
  for (const Case& c :
       {Case{32, 0, false, 0}, Case{32, 4, true, 0}, Case{32, 4, true, 16}, Case{16, 2, true, 5},
        Case{20, 4, false, 1}, Case{7, 9, true, 7}, Case{33, 0, true, 40}, Case{1, 0, true, 0}}) {
    CAPTURE(c.size);
    CAPTURE(c.cutout);
    check_against_reference(c, 0x123456789abcdefULL, 3);
    check_against_reference(c, 1, 0xffffffffu);
  }
}

TEST_CASE("augment: the same for every thread count, and another for another step or seed") {
  const Case c{32, 4, true, 8};
  const int threads = omp_get_max_threads();
  Problem first(c, 5, 9);
  augment<Device::cpu>(first.p, nullptr);
  for (int count : {1, 2, 3}) {
    omp_set_num_threads(count);
    Problem again(c, 5, 9);
    augment<Device::cpu>(again.p, nullptr);
    CHECK(again.out == first.out);
  }
  omp_set_num_threads(threads);
  Problem other_step(c, 5, 10), other_seed(c, 6, 9);
  augment<Device::cpu>(other_step.p, nullptr);
  augment<Device::cpu>(other_seed.p, nullptr);
  CHECK(other_step.out != first.out);
  CHECK(other_seed.out != first.out);
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

}  // namespace drnas::kernels
