// SPDX-License-Identifier: MIT
#include <cmath>
#include <numbers>

#include "data/readers.h"
#include "kernels/error.h"
#include "kernels/philox.h"

namespace drnas::readers {
namespace {

constexpr int class_count = 10;

/// Direction and frequency tell the classes apart; the colour does so only in part (five colours for ten classes).
struct Pattern {
  double along_x, along_y;  ///< radians a pixel
  double colour[3];
};

Pattern pattern_of(int label, int size) {
  const double angle = std::numbers::pi * label / class_count;
  const double cycles = label % 2 == 0 ? 3 : 5;
  const double pace = 2 * std::numbers::pi * cycles / size;
  const double hue = 2 * std::numbers::pi * (label % 5) / 5;
  Pattern pattern{pace * std::cos(angle), pace * std::sin(angle), {}};
  for (int c = 0; c < 3; ++c) {
    pattern.colour[c] = 0.6 + 0.4 * std::cos(hue + 2 * std::numbers::pi * c / 3);
  }
  return pattern;
}

