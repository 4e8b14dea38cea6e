// SPDX-License-Identifier: MIT
#include "kernels/alpha/mixing.h"

#include "kernels/alpha/mixing_rows.h"

namespace drnas::kernels {
namespace {

template <class Piece>
void each(const char*, int count, const Piece& piece, Stream) {
  for (int i = 0; i < count; ++i) piece(i);
}

}  // namespace

template <>
void gumbel_draw<Device::cpu>(const GumbelDraw& p, Stream stream) {
  mixing::check_table("gumbel_draw", p.edges, p.ops);
  each("gumbel_draw", p.edges, mixing::DrawRow{p}, stream);
}
template <>
void gumbel_backward<Device::cpu>(int edges, int ops, const double* soft, const double* temperature,
                                  const double* dtheta, double* dalpha, Stream stream) {
  each("gumbel_backward", edges, mixing::GumbelBackwardRow{ops, soft, temperature, dtheta, dalpha},
       stream);
}
template <>
void score_backward<Device::cpu>(int edges, int ops, const double* alpha, const std::uint8_t* kept,
                                 const double* theta, const double* dtheta, double* dalpha,
                                 Stream stream) {
  each("score_backward", edges, mixing::ScoreBackwardRow{ops, alpha, kept, theta, dtheta, dalpha},
       stream);
}

template <>
void pair_backward<Device::cpu>(int edges, int ops, const double* alpha, const double* theta,
                                const double* dtheta, double* dalpha, Stream stream) {
  each("pair_backward", edges, mixing::PairBackwardRow{ops, alpha, theta, dtheta, dalpha}, stream);
}
template <>
void keep_mass<Device::cpu>(int edges, int ops, const double* theta, const double* before,
                            double* alpha, Stream stream) {
  each("keep_mass", edges, mixing::KeepMassRow{ops, theta, before, alpha}, stream);
}

template <>
void softmax_sets<Device::cpu>(const EntrySets& sets, const double* alpha, double* p,
                               Stream stream) {
  each("softmax_sets", sets.sets, mixing::SoftmaxSet{sets, alpha, p}, stream);
}
template <>
void softmax_sets_backward<Device::cpu>(const EntrySets& sets, const double* p, const double* g,
                                        double* dalpha, Stream stream) {
  each("softmax_sets_backward", sets.sets, mixing::SoftmaxBackwardSet{sets, p, g, dalpha}, stream);
}

template <>
void weigh_edges<Device::cpu>(int edges, int ops, const double* p, double* theta, Stream stream) {
  each("weigh_edges", edges, mixing::WeighEdge{ops, p, theta}, stream);
}
template <>
void weigh_edges_backward<Device::cpu>(int edges, int ops, const double* p, const double* g,
                                       double* dp, Stream stream) {
  each("weigh_edges_backward", edges, mixing::WeighEdgeBackward{ops, p, g, dp}, stream);
}

template <>
void perturb_rows<Device::cpu>(int edges, int ops, const double* p, double* delta, double* theta,
                               Stream stream) {
  each("perturb_rows", edges, mixing::PerturbRow{ops, p, delta, theta}, stream);
}
template <>
void uniform_noise<Device::cpu>(int entries, std::uint64_t seed, const std::uint32_t* step,
                                const double* radius, double* delta, Stream stream) {
  each("uniform_noise", entries, mixing::NoiseEntry{seed, step, radius, delta}, stream);
}
template <>
void ascend_sign<Device::cpu>(int entries, const double* g, double share, const double* radius,
                              double* delta, Stream stream) {
  each("ascend_sign", entries, mixing::AscendEntry{g, share, radius, delta}, stream);
}

template <>
void exponentiated_step<Device::cpu>(const ExponentiatedStep& p, Stream stream) {
  *p.squared_norm = mixing::squared_sum(p.gradient, p.entries);
  if (!std::isfinite(*p.squared_norm)) return;
  each("exponentiated_step", p.sets.sets, mixing::ExponentiateSet{p}, stream);
}

}  // namespace drnas::kernels
