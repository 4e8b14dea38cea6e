// SPDX-License-Identifier: MIT
// One thread a row, set or entry: tables are small, and a launch costs more than their arithmetic.
#include "kernels/alpha/mixing.h"
#include "kernels/alpha/mixing_rows.h"
#include "kernels/core/launch.h"

namespace drnas::kernels {
namespace {

constexpr Device here = Device::cuda;
constexpr unsigned threads = 32;

template <class Piece>
__global__ void __launch_bounds__(threads) piece_kernel(Piece piece, int count) {
  const int i = static_cast<int>(global_thread());
  if (i < count) piece(i);
}

template <class Piece>
void each(const char* name, int count, const Piece& piece, Stream stream) {
  launch(name, piece_kernel<Piece>, {blocks_for(count, threads), threads}, stream, piece, count);
}

/// Every thread adds up the whole norm: they agree without waiting for each other.
__global__ void __launch_bounds__(threads) exponentiate_kernel(ExponentiatedStep p) {
  const int i = static_cast<int>(global_thread());
  const double norm = mixing::squared_sum(p.gradient, p.entries);
  if (i == 0) *p.squared_norm = norm;
  if (i < p.sets.sets && std::isfinite(norm)) mixing::ExponentiateSet{p}(i);
}

}  // namespace

#include "kernels/alpha/mixing_calls.h"

template <>
void exponentiated_step<Device::cuda>(const ExponentiatedStep& p, Stream stream) {
  launch("exponentiated_step", exponentiate_kernel, {blocks_for(p.sets.sets, threads), threads},
         stream, p);
}

}  // namespace drnas::kernels
