// SPDX-License-Identifier: MIT
#include "kernels/alpha/mixing.h"

#include "kernels/alpha/mixing_rows.h"

namespace drnas::kernels {
namespace {

constexpr Device here = Device::cpu;

template <class Piece>
void each(const char*, int count, const Piece& piece, Stream) {
  for (int i = 0; i < count; ++i) piece(i);
}

}  // namespace

#include "kernels/alpha/mixing_calls.h"

template <>
void exponentiated_step<Device::cpu>(const ExponentiatedStep& p, Stream stream) {
  *p.squared_norm = mixing::squared_sum(p.gradient, p.entries);
  if (!std::isfinite(*p.squared_norm)) return;
  each("exponentiated_step", p.sets.sets, mixing::ExponentiateSet{p}, stream);
}

}  // namespace drnas::kernels
