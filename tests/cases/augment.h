// SPDX-License-Identifier: MIT
// Calls of kernels/train/augment.h.
#pragma once

#include <algorithm>

#include "kernels/random/philox.h"
#include "kernels/train/augment.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

/// Images and labels gathered from a random set.
struct AugmentCase {
  enum class Labels { wanted, no_output, no_classes };
  static constexpr int images = 7, rows = 3;
  kernels::Augment p{};  ///< without pointers
  Labels wanted;
  bool first_row;  ///< there is a first step: the last row
  std::uint32_t step;
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> indices, classes;

  AugmentCase(Rng& rng, int batch, int size, int padding, bool flip, int cutout, std::uint32_t step,
              Labels labels = Labels::wanted, bool first = false)
      : wanted(labels), first_row(first), step(step) {
    p.batch = batch, p.size = size, p.padding = padding, p.flip = flip, p.cutout = cutout;
    const float mean[3] = {0.49f, 0.48f, 0.45f}, deviation[3] = {0.247f, 0.243f, 0.262f};
    std::copy(mean, mean + 3, p.mean);
    std::copy(deviation, deviation + 3, p.deviation);
    p.seed = rng();
    p.purpose = static_cast<std::uint32_t>(kernels::Purpose::augment);
    pixels.resize(images * elements());
    for (std::uint8_t& v : pixels) v = static_cast<std::uint8_t>(rng());
    for (int i = 0; i < rows * batch; ++i)
      indices.push_back(static_cast<std::int32_t>(rng() % images));
    for (int i = 0; i < images; ++i) classes.push_back(static_cast<std::int32_t>(rng() % 1000));
  }
  /// Of an image.
  std::size_t elements() const { return std::size_t(p.size) * p.size * 3; }
  /// The first index of the step's row.
  int first_index() const { return first_row ? (rows - 1) * p.batch : 0; }

  /// Results: "out", and "labels" where wanted.
  template <Device D>
  Call batch(Buffers<D>& b) const {
    kernels::Augment a = p;
    a.pixels = b.template input<std::uint8_t>(pixels);
    a.indices = b.template input<std::int32_t>(indices);
    if (wanted != Labels::no_classes) a.classes = b.template input<std::int32_t>(classes);
    if (wanted != Labels::no_output)
      a.labels = b.template output<std::int32_t>("labels", std::vector<std::int32_t>(p.batch, -5));
    const std::uint32_t* steps =
        b.template input<std::uint32_t>(std::vector<std::uint32_t>{step, step - (rows - 1)});
    a.step = steps;
    if (first_row) a.first_step = steps + 1;
    a.out = b.output_images("out", 1, static_cast<std::int64_t>(p.batch * elements())).data;
    return b.call(2.0 * p.batch * elements(),
                  [=](kernels::Stream stream) { kernels::augment<D>(a, stream); });
  }
};

}  // namespace drnas::test
