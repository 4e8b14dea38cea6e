// SPDX-License-Identifier: MIT
#include "kernels/train/augment.h"

#include <algorithm>
#include <cmath>

#include "kernels/train/augment_math.h"

namespace drnas::kernels {
namespace {

/// Pixels that are handled together: 48 bytes, the least multiple of both the channels and a vector
/// of 16.
constexpr int chunk = 16;
constexpr int chunk_bytes = 3 * chunk;

struct ChunkConstants {
  float scale[chunk_bytes], shift[chunk_bytes];
};

ChunkConstants repeat(const Normalisation& n) {
  ChunkConstants constants;
  for (int i = 0; i < chunk_bytes; ++i) {
    constants.scale[i] = n.scale[i % 3];
    constants.shift[i] = n.shift[i % 3];
  }
  return constants;
}

/// Output pixels [x0, x0 + chunk) as bytes, moved and mirrored, zero where they are padding or
/// beyond the row.
void gather(const std::uint8_t* row, const AugmentPlan& plan, int x0, int size,
            std::uint8_t* __restrict to) {
  for (int i = 0; i < chunk; ++i) {
    const int x = source_x(plan, x0 + i, size);
    const bool inside = row != nullptr && x0 + i < size && x >= 0 && x < size;
    for (int c = 0; c < 3; ++c) to[3 * i + c] = inside ? row[3 * x + c] : std::uint8_t{0};
  }
}

void normalise(const std::uint8_t* __restrict from, const ChunkConstants& k, int count,
               float* __restrict to) {
  if (count == chunk_bytes) {
#pragma omp simd
    for (int i = 0; i < chunk_bytes; ++i) {
      to[i] = std::fma(static_cast<float>(from[i]), k.scale[i], k.shift[i]);
    }
  } else {
    for (int i = 0; i < count; ++i) {
      to[i] = std::fma(static_cast<float>(from[i]), k.scale[i], k.shift[i]);
    }
  }
}

void augment_image(const Augment& p, const ChunkConstants& constants, int slot) {
  const std::int64_t image_elements = std::int64_t{3} * p.size * p.size;
  const std::int32_t image = image_of(p, slot);
  if (p.labels && p.classes) p.labels[slot] = p.classes[image];
  const std::uint8_t* in = p.pixels + image * image_elements;
  float* out = p.out + slot * image_elements;
  const AugmentPlan plan = plan_augment(p, slot);
  for (int y = 0; y < p.size; ++y) {
    const int source_y = y + plan.shift_y;
    const bool inside = source_y >= 0 && source_y < p.size;
    const std::uint8_t* row = inside ? in + std::int64_t{3} * source_y * p.size : nullptr;
    float* out_row = out + std::int64_t{3} * y * p.size;
    for (int x0 = 0; x0 < p.size; x0 += chunk) {
      std::uint8_t bytes[chunk_bytes];
      gather(row, plan, x0, p.size, bytes);
      normalise(bytes, constants, 3 * std::min(chunk, p.size - x0), out_row + 3 * x0);
    }
    if (y >= plan.cut_top && y < plan.cut_bottom) {
      std::fill(out_row + 3 * plan.cut_left, out_row + 3 * plan.cut_right, 0.0f);
    }
  }
}

}  // namespace

template <>
void augment<Device::cpu>(const Augment& p, Stream) {
  const ChunkConstants constants = repeat(normalisation(p));
#pragma omp parallel for schedule(static)
  for (int slot = 0; slot < p.batch; ++slot) augment_image(p, constants, slot);
}

}  // namespace drnas::kernels
