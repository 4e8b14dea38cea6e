// SPDX-License-Identifier: MIT
#include "kernels/random/philox_fill.h"

#include <string>

namespace drnas::kernels {
namespace {

/// Fills that are done before other threads have woken.
constexpr std::int64_t serial_fill = 1 << 14;

void check_length(std::int64_t n) {
  if (n < 0 || n > max_fill)
    throw Error("random fill: length " + std::to_string(n) + " is not between 0 and " +
                std::to_string(max_fill));
}

}  // namespace

template <>
void fill_uniform<Device::cpu>(float* out, std::int64_t n, float lo, float hi, std::uint64_t seed,
                               Purpose purpose, std::uint32_t step, Stream) {
  check_length(n);
  const RandomStream stream(seed, purpose);
  const std::int64_t blocks = (n + 3) / 4;
#pragma omp parallel for schedule(static) if (n > serial_fill)
  for (std::int64_t block = 0; block < blocks; ++block)
    fill_uniform_block(out, n, block, lo, hi, stream, step);
}

template <>
void fill_normal<Device::cpu>(float* out, std::int64_t n, float mean, float deviation,
                              std::uint64_t seed, Purpose purpose, std::uint32_t step, Stream) {
  check_length(n);
  const RandomStream stream(seed, purpose);
  const std::int64_t blocks = (n + 1) / 2;
#pragma omp parallel for schedule(static) if (n > serial_fill)
  for (std::int64_t block = 0; block < blocks; ++block)
    fill_normal_block(out, n, block, mean, deviation, stream, step);
}

}  // namespace drnas::kernels
