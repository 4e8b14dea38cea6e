// SPDX-License-Identifier: MIT
// One thread a row, set or entry: tables are small, and a launch costs more than their arithmetic.
#include "kernels/alpha/mixing.h"
#include "kernels/alpha/mixing_rows.h"
#include "kernels/core/launch.h"

namespace drnas::kernels {
namespace {

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

template <>
void gumbel_draw<Device::cuda>(const GumbelDraw& p, Stream stream) {
  mixing::check_table("gumbel_draw", p.edges, p.ops);
  each("gumbel_draw", p.edges, mixing::DrawRow{p}, stream);
}
template <>
void gumbel_backward<Device::cuda>(int edges, int ops, const double* soft,
                                   const double* temperature, const double* dtheta, double* dalpha,
                                   Stream stream) {
  each("gumbel_backward", edges, mixing::GumbelBackwardRow{ops, soft, temperature, dtheta, dalpha},
       stream);
}
template <>
void score_backward<Device::cuda>(int edges, int ops, const double* alpha, const std::uint8_t* kept,
                                  const double* theta, const double* dtheta, double* dalpha,
                                  Stream stream) {
  each("score_backward", edges, mixing::ScoreBackwardRow{ops, alpha, kept, theta, dtheta, dalpha},
       stream);
}

template <>
void pair_backward<Device::cuda>(int edges, int ops, const double* alpha, const double* theta,
                                 const double* dtheta, double* dalpha, Stream stream) {
  each("pair_backward", edges, mixing::PairBackwardRow{ops, alpha, theta, dtheta, dalpha}, stream);
}
template <>
void keep_mass<Device::cuda>(int edges, int ops, const double* theta, const double* before,
                             double* alpha, Stream stream) {
  each("keep_mass", edges, mixing::KeepMassRow{ops, theta, before, alpha}, stream);
}

template <>
void softmax_sets<Device::cuda>(const EntrySets& sets, const double* alpha, double* p,
                                Stream stream) {
  each("softmax_sets", sets.sets, mixing::SoftmaxSet{sets, alpha, p}, stream);
}
template <>
void softmax_sets_backward<Device::cuda>(const EntrySets& sets, const double* p, const double* g,
                                         double* dalpha, Stream stream) {
  each("softmax_sets_backward", sets.sets, mixing::SoftmaxBackwardSet{sets, p, g, dalpha}, stream);
}

template <>
void weigh_edges<Device::cuda>(int edges, int ops, const double* p, double* theta, Stream stream) {
  each("weigh_edges", edges, mixing::WeighEdge{ops, p, theta}, stream);
}
template <>
void weigh_edges_backward<Device::cuda>(int edges, int ops, const double* p, const double* g,
                                        double* dp, Stream stream) {
  each("weigh_edges_backward", edges, mixing::WeighEdgeBackward{ops, p, g, dp}, stream);
}

template <>
void perturb_rows<Device::cuda>(int edges, int ops, const double* p, double* delta, double* theta,
                                Stream stream) {
  each("perturb_rows", edges, mixing::PerturbRow{ops, p, delta, theta}, stream);
}
template <>
void uniform_noise<Device::cuda>(int entries, std::uint64_t seed, const std::uint32_t* step,
                                 const double* radius, double* delta, Stream stream) {
  each("uniform_noise", entries, mixing::NoiseEntry{seed, step, radius, delta}, stream);
}
template <>
void ascend_sign<Device::cuda>(int entries, const double* g, double share, const double* radius,
                               double* delta, Stream stream) {
  each("ascend_sign", entries, mixing::AscendEntry{g, share, radius, delta}, stream);
}

template <>
void exponentiated_step<Device::cuda>(const ExponentiatedStep& p, Stream stream) {
  launch("exponentiated_step", exponentiate_kernel, {blocks_for(p.sets.sets, threads), threads},
         stream, p);
}

}  // namespace drnas::kernels
