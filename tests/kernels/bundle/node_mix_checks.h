// SPDX-License-Identifier: MIT
// What both twins of node mixes must do. `run`: OnCpu or OnDevice.
#pragma once

#include "tests/kernels/bundle/node_reference.h"

namespace drnas::test {

/// dz = A dy + B z + C in float64 from the coefficients [3, c] of term t.
inline Doubles assemble(const NodeMixCase& c, const Doubles& coefficients, std::size_t t) {
  const Images& g = c.g;
  const auto a = coefficients.begin() + static_cast<std::ptrdiff_t>(3 * t) * g.c;
  Doubles dz(g.pixels() * g.c);
  for (std::int64_t i = 0; i < g.pixels() * g.c; ++i) {
    const int ch = static_cast<int>(i % g.c);
    dz[i] = a[ch] * c.dy[i / g.c * g.channels + g.shuffled(ch)] + a[g.c + ch] * c.terms[t].z[i] +
            a[2 * g.c + ch];
  }
  return dz;
}

/// Roundings on the way to y, but for one addition a summand and four a term; to dtheta; to dz.
struct NodeMixRoundings {
  double forward, theta, z;
};

/// What a backward pass with the gradient c.dy left.
inline void check_mix_gradients(const NodeMixCase& c, const Results& got,
                                const NodeMixRoundings& most) {
  const MixReference::Gradients d = MixReference{c}.backward(c.dy);
  Doubles dtheta = got.at("dtheta");
  for (double& v : dtheta) v -= c.dtheta_start;
  CHECK(roundings(dtheta, d.theta) <= most.theta);
  for (std::size_t t = 0; t < c.terms.size(); ++t)
    CHECK(roundings(assemble(c, got.at("coefficients"), t), d.z[t]) <= most.z);
}

template <class T = float, class Run>
void check_node_mix(const Run& run, const NodeMixCase& c, const NodeMixRoundings& most) {
  const Images& g = c.g;
  CAPTURE(g.n);
  CAPTURE(g.h);
  CAPTURE(g.w);
  CAPTURE(g.c);
  CAPTURE(g.parts());
  CAPTURE(c.terms.size());
  CAPTURE(c.sources.size());
  const MixReference reference{c};
  const Results y = run([&](auto& b) { return c.forward<T>(b); });
  CHECK(roundings(y.at("y"), reference.forward()) <=
        most.forward + 2 * static_cast<double>(c.terms.size() + c.sources.size()));

  const Results got = run([&](auto& b) { return c.backward<T>(b); });
  const Results alone = run([&](auto& b) { return c.backward<T>(b, false); });
  check_mix_gradients(c, got, most);
  CHECK(alone.at("dtheta") == Doubles(c.theta.size(), c.dtheta_start));
  CHECK(alone.at("coefficients") == got.at("coefficients"));
}

}  // namespace drnas::test
