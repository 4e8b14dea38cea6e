// SPDX-License-Identifier: MIT
// Calls of kernels/bundle/conv_bundle.h, with activations stored as T: float or bfloat16.
#pragma once

#include <cmath>
#include <optional>

#include "kernels/bundle/conv_bundle.h"
#include "tests/cases/shapes.h"

namespace drnas::test {

using kernels::ConvBundle;

inline ConvBundle make_bundle(int n, int h, int w, int c, int parts, int edges,
                              const std::vector<int>& kernels,
                              const std::vector<std::uint8_t>& present = {}) {
  ConvBundle b{n, h, w, c, c * parts, edges, static_cast<int>(kernels.size()), {}};
  std::copy(kernels.begin(), kernels.end(), b.kernel);
  std::copy(present.begin(), present.end(), b.present);
  return b;
}

/// A bundle of which each edge lacks sizes by chance; sizes without edges are left out.
inline ConvBundle ragged(Rng& rng, const ConvBundle& full) {
  ConvBundle b = full;
  b.sizes = 0;
  for (int s = 0; s < full.sizes; ++s) {
    const unsigned every = (1u << b.edges) - 1, present = rng() & every;
    const unsigned beyond = rng() & 0xff & ~every;  // means nothing
    if (present == 0) continue;
    b.kernel[b.sizes] = full.kernel[s];
    b.present[b.sizes++] = static_cast<std::uint8_t>(present | beyond);
  }
  return b;
}

template <Device D, class T>
std::size_t forward_workspace(const ConvBundle& b) {
  if constexpr (std::is_same_v<T, float>)
    return kernels::conv_bundle_forward_workspace<D>(b);
  else
    return kernels::conv_bundle_forward_workspace_bfloat16<D>(b);
}
template <Device D, class T>
std::size_t backward_workspace(const ConvBundle& b) {
  if constexpr (std::is_same_v<T, float>)
    return kernels::conv_bundle_backward_workspace<D>(b);
  else
    return kernels::conv_bundle_backward_workspace_bfloat16<D>(b);
}

/// Results of the backward pass that are asked for.
struct ConvBundleWanted {
  bool dx = true, dweight[ConvBundle::max_sizes] = {true, true};
};

/// Random inputs, gradients of the destinations, and coefficients.
struct ConvBundleCase {
  enum class Mode { training, no_running, evaluation };
  using Wanted = ConvBundleWanted;
  static constexpr float eps = 1e-5f, momentum = 0.1f;
  ConvBundle bundle;
  Doubles x;                                       ///< infinite where no convolution reads
  std::vector<Doubles> weight, z;                  ///< per size; z padded with zeros
  std::vector<Doubles> dy;                         ///< per edge
  std::vector<std::vector<Doubles>> coefficients;  ///< per edge and size [3, c]
  std::vector<std::optional<double>> skip, pool;   ///< per edge

  ConvBundleCase(Rng& rng, const ConvBundle& b)
      : bundle(b),
        x(normals_and_zeros(rng, b.pixels() * b.x_channels)),
        coefficients(static_cast<std::size_t>(b.edges)) {
    for (std::size_t i = 0; i < x.size(); ++i)
      if (static_cast<int>(i % b.x_channels) >= b.c) x[i] = INFINITY;
    for (int s = 0; s < b.sizes; ++s) {
      weight.push_back(normals(rng, b.weight_count(s)));
      z.push_back(normals(rng, b.pixels() * b.z_channels(s)));
      for (std::size_t i = 0; i < z[s].size(); ++i)
        if (static_cast<int>(i % b.z_channels(s)) >= b.rows(s)) z[s][i] = 0;
    }
    for (int e = 0; e < b.edges; ++e) {
      dy.push_back(normals(rng, b.pixels() * b.x_channels));
      for (int s = 0; s < b.sizes; ++s) coefficients[e].push_back(normals(rng, 3 * b.c));
      const auto some = [&] {
        return rng() % 4 ? std::optional<double>(normals(rng, 1)[0] + 0.1) : std::nullopt;
      };
      skip.push_back(some());
      pool.push_back(some());
    }
  }
  /// Multiply-adds of the convolutions times two.
  double flops() const {
    double weights = 0;
    for (const Doubles& w : weight) weights += static_cast<double>(w.size());
    return 2 * weights * static_cast<double>(bundle.pixels());
  }

  /// Results of size s: "s z", "s mean", "s inv_std", "s running_mean", "s running_var".
  template <class T = float, Device D>
  Call forward(Buffers<D>& b, Mode mode = Mode::training) const {
    const auto f = outputs<T>(b, b.template input<T>(placed_x()), mode);
    void* workspace = b.workspace(forward_workspace<D, T>(bundle));
    return partly_read<T>(b.call(flops(), [=](kernels::Stream stream) {
      kernels::conv_bundle_forward<D>(f, workspace, stream);
    }));
  }
  /// What the forward pass of this node is called with.
  template <class T, Device D>
  kernels::ConvBundleForwardOf<T> outputs(Buffers<D>& b, const T* node,
                                          Mode mode = Mode::training) const {
    kernels::ConvBundleForwardOf<T> f{};
    f.bundle = bundle;
    f.x = node;
    for (int s = 0; s < bundle.sizes; ++s) {
      const std::string of = std::to_string(s) + " ";
      f.weight[s] = b.template input<T>(weight[s]);
      f.z[s] = b.template output<T>(of + "z", bundle.pixels() * bundle.z_channels(s));
      const kernels::PlaneStatistics statistics =
          output_statistics(b, bundle.rows(s), mode != Mode::no_running, of);
      f.mean[s] = statistics.mean, f.inv_std[s] = statistics.inv_std;
      f.running_mean[s] = statistics.running_mean, f.running_var[s] = statistics.running_var;
    }
    f.training = mode != Mode::evaluation;
    f.eps = eps;
    f.momentum = momentum;
    return f;
  }
  /// Results: "dx", and of size s "s dweight".
  template <class T = float, Device D>
  Call backward(Buffers<D>& b, const Wanted& wanted = {}) const {
    const auto k = gradients<T>(b, wanted);
    void* workspace = b.workspace(backward_workspace<D, T>(bundle));
    return partly_read<T>(b.call(2 * flops(), [=](kernels::Stream stream) {
      kernels::conv_bundle_backward<D>(k, workspace, stream);
    }));
  }
  /// What the backward pass is called with.
  template <class T, Device D>
  kernels::ConvBundleBackwardOf<T> gradients(Buffers<D>& b, const Wanted& wanted = {}) const {
    kernels::ConvBundleBackwardOf<T> k{};
    k.bundle = bundle;
    k.x = b.template input<T>(placed_x());
    if (wanted.dx) k.dx = b.template output<T>("dx", static_cast<std::int64_t>(x.size()));
    for (int s = 0; s < bundle.sizes; ++s) {
      k.weight[s] = b.template input<T>(weight[s]);
      k.z[s] = b.template input<T>(z[s]);
      if (wanted.dweight[s])
        k.dweight[s] = b.output(std::to_string(s) + " dweight", bundle.weight_count(s));
    }
    for (int e = 0; e < bundle.edges; ++e) {
      k.edge[e].dy = b.template input<T>(dy[e]);
      for (int s = 0; s < bundle.sizes; ++s)
        if (bundle.has(s, e)) k.edge[e].coefficients[s] = b.input(coefficients[e][s]);
      if (skip[e]) k.edge[e].skip_weight = b.template input<double>(Doubles{*skip[e]});
      if (pool[e]) k.edge[e].pool_weight = b.template input<double>(Doubles{*pool[e]});
    }
    return k;
  }

  Doubles placed_x() const { return bundle.apart ? laid_apart(x, bundle.c, bundle.x_channels) : x; }

 private:
  /// Of x the first 1/K of the channels are read.
  template <class T>
  Call partly_read(Call call) const {
    call.bytes -= static_cast<double>(bundle.pixels()) * (bundle.x_channels - bundle.c) * sizeof(T);
    return call;
  }
};

}  // namespace drnas::test
