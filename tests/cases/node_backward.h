// SPDX-License-Identifier: MIT
// Calls of kernels/bundle/node_backward.h.
#pragma once

#include "kernels/bundle/node_backward.h"
#include "tests/cases/conv_bundle.h"
#include "tests/cases/node_mix.h"

namespace drnas::test {

/// A bundle and a mix that might have made its node.
struct NodeBackwardCase {
  ConvBundleCase bundle;
  NodeMixCase mix;

  NodeBackwardCase(Rng& rng, const ConvBundle& b, int terms, int sources)
      : bundle(rng, b), mix(rng, {b.n, b.h, b.w, b.c, b.x_channels}, terms, sources, false, true) {}
  /// Results of both: dx, gradients of weights, coefficients and dtheta.
  template <class T = float, Device D>
  Call run(Buffers<D>& b, bool want_theta = true) const {
    const auto k = bundle.gradients<T>(b);
    const auto m = mix.gradients<T>(b, k.dx, want_theta);
    void* workspace = b.workspace(kernels::node_backward_workspace(k.bundle, m.mix));
    return b.call(bundle.flops(),
                  [=](kernels::Stream stream) { kernels::node_backward(k, m, workspace, stream); });
  }
};

}  // namespace drnas::test
