// SPDX-License-Identifier: MIT
// Calls of kernels/bundle/node_forward.h.
#pragma once

#include "kernels/bundle/node_forward.h"
#include "tests/cases/conv_bundle.h"
#include "tests/cases/node_mix.h"

namespace drnas::test {

/// A mix, and the bundle that reads the node; its own x is not read.
struct NodeForwardCase {
  using Mode = ConvBundleCase::Mode;
  ConvBundleCase bundle;
  NodeMixCase mix;

  NodeForwardCase(Rng& rng, const ConvBundle& b, int terms, int sources)
      : bundle(rng, b), mix(rng, {b.n, b.h, b.w, b.c, b.x_channels}, terms, sources, false, true) {}
  /// Results of both: y, and of each size raw outputs and statistics.
  template <class T = float, Device D>
  Call run(Buffers<D>& b, Mode mode = Mode::training) const {
    const auto m = mix.description<T>(b);
    T* y = b.template output<T>("y", mix.g.count());
    const auto f = bundle.outputs<T>(b, y, mode);
    void* workspace = b.workspace(forward_workspace<D, T>(bundle.bundle));
    return b.call(bundle.flops(), [=](kernels::Stream stream) {
      kernels::node_forward(m, y, f, workspace, stream);
    });
  }
};

}  // namespace drnas::test
