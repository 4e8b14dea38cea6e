// SPDX-License-Identifier: MIT
// Calls of folded_bundle_forward() in kernels/bundle/conv_bundle.h.
#pragma once

#include "tests/cases/conv_bundle.h"

namespace drnas::test {

/// A bundle with running statistics and mixing weights, in any order among others.
struct FoldedBundleCase : ConvBundleCase {
  Doubles theta;
  std::vector<Doubles> running_mean, running_var;  ///< per size [rows]

  FoldedBundleCase(Rng& rng, const ConvBundle& b) : ConvBundleCase(rng, b) {
    for (int s = 0; s < b.sizes; ++s) {
      running_mean.push_back(rounded(normals(rng, b.rows(s))));
      running_var.push_back(normals(rng, b.rows(s)));
      for (double& v : running_var[s]) v = static_cast<float>(0.1 + v * v);
    }
    theta = normals(rng, index(b.sizes, 0) + 1);
  }
  /// Of an edge's size; the first one is nobody's.
  int index(int size, int edge) const { return 1 + size * bundle.edges + edge; }

  /// Results "z" [pixels, z_channels] and "mean" [rows] of bundle.folded().
  template <class T = float, Device D>
  Call folded(Buffers<D>& b) const {
    kernels::FoldedBundleOf<T> f{};
    const ConvBundle one = bundle.folded();
    f.bundle = bundle;
    f.x = b.template input<T>(placed_x());
    for (int s = 0; s < bundle.sizes; ++s) {
      f.weight[s] = b.input(weight[s]);
      f.running_mean[s] = b.input(running_mean[s]);
      f.running_var[s] = b.input(running_var[s]);
      for (int e = 0; e < bundle.edges; ++e)
        f.theta_index[s][e] = bundle.has(s, e) ? index(s, e) : -1;
    }
    f.theta = b.template input<double>(theta);
    f.z = b.template output<T>("z", bundle.sizes ? one.pixels() * one.z_channels(0) : 0);
    f.mean = b.output("mean", bundle.sizes ? one.rows(0) : 0);
    f.eps = eps;
    void* workspace = b.workspace(kernels::folded_bundle_workspace<D>(f));
    return b.call(0, [=](kernels::Stream stream) {
      kernels::folded_bundle_forward<D>(f, workspace, stream);
    });
  }
};

}  // namespace drnas::test
