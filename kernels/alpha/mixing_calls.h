// SPDX-License-Identifier: MIT
// The calls of mixing.h that run one functor a row, set or entry, the same on both devices: a twin
// says which one it is, `here`, and how to run them, each(name, count, functor, stream), and then
// includes this file in its namespace.

template <>
void gumbel_draw<here>(const GumbelDraw& p, Stream stream) {
  mixing::check_table("gumbel_draw", p.edges, p.ops);
  each("gumbel_draw", p.edges, mixing::DrawRow{p}, stream);
}
template <>
void gumbel_backward<here>(int edges, int ops, const double* soft, const double* temperature,
                           const double* dtheta, double* dalpha, Stream stream) {
  each("gumbel_backward", edges, mixing::GumbelBackwardRow{ops, soft, temperature, dtheta, dalpha},
       stream);
}
template <>
void score_backward<here>(int edges, int ops, const double* alpha, const std::uint8_t* kept,
                          const double* theta, const double* dtheta, double* dalpha,
                          Stream stream) {
  each("score_backward", edges, mixing::ScoreBackwardRow{ops, alpha, kept, theta, dtheta, dalpha},
       stream);
}

template <>
void pair_backward<here>(int edges, int ops, const double* alpha, const double* theta,
                         const double* dtheta, double* dalpha, Stream stream) {
  each("pair_backward", edges, mixing::PairBackwardRow{ops, alpha, theta, dtheta, dalpha}, stream);
}
template <>
void keep_mass<here>(int edges, int ops, const double* theta, const double* before, double* alpha,
                     Stream stream) {
  each("keep_mass", edges, mixing::KeepMassRow{ops, theta, before, alpha}, stream);
}

template <>
void softmax_sets<here>(const EntrySets& sets, const double* alpha, double* p, Stream stream) {
  each("softmax_sets", sets.sets, mixing::SoftmaxSet{sets, alpha, p}, stream);
}
template <>
void softmax_sets_backward<here>(const EntrySets& sets, const double* p, const double* g,
                                 double* dalpha, Stream stream) {
  each("softmax_sets_backward", sets.sets, mixing::SoftmaxBackwardSet{sets, p, g, dalpha}, stream);
}

template <>
void weigh_edges<here>(int edges, int ops, const double* p, double* theta, Stream stream) {
  each("weigh_edges", edges, mixing::WeighEdge{ops, p, theta}, stream);
}
template <>
void weigh_edges_backward<here>(int edges, int ops, const double* p, const double* g, double* dp,
                                Stream stream) {
  each("weigh_edges_backward", edges, mixing::WeighEdgeBackward{ops, p, g, dp}, stream);
}

template <>
void perturb_rows<here>(int edges, int ops, const double* p, double* delta, double* theta,
                        Stream stream) {
  each("perturb_rows", edges, mixing::PerturbRow{ops, p, delta, theta}, stream);
}
template <>
void uniform_noise<here>(int entries, std::uint64_t seed, const std::uint32_t* step,
                         const double* radius, double* delta, Stream stream) {
  each("uniform_noise", entries, mixing::NoiseEntry{seed, step, radius, delta}, stream);
}
template <>
void ascend_sign<here>(int entries, const double* g, double share, const double* radius,
                       double* delta, Stream stream) {
  each("ascend_sign", entries, mixing::AscendEntry{g, share, radius, delta}, stream);
}
