// SPDX-License-Identifier: MIT
#include <memory>

#include "bench/bench_device.h"
#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/node_mix.h"
#include "kernels/layers/batch_norm.h"
#include "kernels/random/philox_fill.h"

namespace drnas::bench {
namespace {

constexpr int edges = 3, sizes = 2, theta_count = 30;
constexpr int rounds = 7, least_calls = 10;

DeviceArray<float> random_array(std::int64_t count, kernels::Stream stream) {
  DeviceArray<float> array(static_cast<std::size_t>(count));
  kernels::fill_normal<Device::cuda>(array.data(), count, 0, 1, 1, kernels::Purpose::synthetic, 0,
                                     stream);
  return array;
}

/// The bundle that leaves node 0 (three edges, 1x1 and 3x3), node 3's mix, whose three sources are
/// one and the same, and batch norm over a node.
struct Cell {
  kernels::ConvBundle bundle;
  kernels::BatchNorm norm;
  DeviceArray<float> x, y, dy, dx, z[sizes], statistics, weights[sizes], dweights[sizes],
      coefficients, saved;
  DeviceArray<double> theta, dtheta;
  DeviceArray<unsigned char> scratch;

  Cell(const kernels::ConvBundle& b, kernels::Stream stream)
      : bundle(b),
        norm{b.pixels(), b.x_channels, false, 1e-5f, 0.1f, nullptr, nullptr, nullptr, nullptr},
        x(random_array(node(), stream)),
        y(random_array(node(), stream)),
        dy(random_array(node(), stream)),
        dx(random_array(node(), stream)),
        z{random_array(raw(), stream), random_array(raw(), stream)},
        statistics(random_array(std::int64_t{2} * sizes * edges * b.c, stream)),
        weights{random_array(b.weight_count(0), stream), random_array(b.weight_count(1), stream)},
        dweights{random_array(b.weight_count(0), stream), random_array(b.weight_count(1), stream)},
        coefficients(random_array(std::int64_t{3} * sizes * edges * b.c, stream)),
        saved(random_array(std::int64_t{2} * b.x_channels, stream)),
        theta(std::vector<double>(theta_count, 0.2)),
        dtheta(std::vector<double>(theta_count, 0.0)),
        scratch(scratch_bytes()) {}

  std::int64_t node() const { return bundle.pixels() * bundle.x_channels; }
  std::int64_t raw() const { return bundle.pixels() * bundle.z_channels(0); }
  double node_bytes() const { return 4.0 * static_cast<double>(node()); }
  double z_bytes() const { return 4.0 * sizes * static_cast<double>(raw()); }
  double footprint() const { return 4 * node_bytes() + z_bytes(); }
  double flops() const {
    double macs = 0;
    for (int s = 0; s < sizes; ++s) macs += static_cast<double>(bundle.weight_count(s));
    return 2 * macs * static_cast<double>(bundle.pixels());
  }
  float* mean(int s) const { return statistics.data() + std::ptrdiff_t{2} * edges * s * bundle.c; }
  float* inv_std(int s) const { return mean(s) + std::ptrdiff_t{edges} * bundle.c; }
  float* coefficient(int edge, int s) const {
    return coefficients.data() + std::ptrdiff_t{3} * (sizes * edge + s) * bundle.c;
  }

  kernels::NodeMix mix() const {
    kernels::NodeMix m{};
    m.n = bundle.n, m.h = bundle.h, m.w = bundle.w, m.c = bundle.c, m.channels = bundle.x_channels;
    m.theta = theta.data();
    for (int e = 0; e < edges; ++e) {
      const std::ptrdiff_t first = std::ptrdiff_t{e} * bundle.c;
      for (int s = 0; s < sizes; ++s)
        m.term[m.terms++] = {z[s].data() + first, bundle.z_channels(s), mean(s) + first,
                             inv_std(s) + first, 5 * e + 2 + s};
      m.source[m.sources++] = {x.data(), 5 * e + 1, 5 * e + 4};
    }
    return m;
  }
  std::size_t scratch_bytes() const {
    return std::max({kernels::conv_bundle_forward_workspace<Device::cuda>(bundle),
                     kernels::conv_bundle_backward_workspace<Device::cuda>(bundle),
                     kernels::node_mix_workspace<Device::cuda>(mix()),
                     kernels::node_mix_backward_workspace<Device::cuda>(mix()),
                     kernels::batch_norm_workspace<Device::cuda>(norm)});
  }
};

void bundle_forward(const Cell& cell, kernels::Stream stream) {
  kernels::ConvBundleForward p{};
  p.bundle = cell.bundle;
  p.x = cell.x.data();
  for (int s = 0; s < sizes; ++s) {
    p.weight[s] = cell.weights[s].data();
    p.z[s] = cell.z[s].data();
    p.mean[s] = cell.mean(s);
    p.inv_std[s] = cell.inv_std(s);
  }
  p.training = true;
  p.eps = 1e-5f;
  kernels::conv_bundle_forward<Device::cuda>(p, cell.scratch.data(), stream);
}

void bundle_backward(const Cell& cell, kernels::Stream stream) {
  kernels::ConvBundleBackward p{};
  p.bundle = cell.bundle;
  p.x = cell.x.data();
  p.dx = cell.dx.data();
  for (int s = 0; s < sizes; ++s) {
    p.weight[s] = cell.weights[s].data();
    p.z[s] = cell.z[s].data();
    p.dweight[s] = cell.dweights[s].data();
  }
  for (int e = 0; e < edges; ++e) {
    p.edge[e].dy = cell.dy.data();
    p.edge[e].skip_weight = p.edge[e].pool_weight = cell.theta.data();
    for (int s = 0; s < sizes; ++s) p.edge[e].coefficients[s] = cell.coefficient(e, s);
  }
  kernels::conv_bundle_backward<Device::cuda>(p, cell.scratch.data(), stream);
}

void mix_forward(const Cell& cell, kernels::Stream stream) {
  kernels::node_mix_forward<Device::cuda>(cell.mix(), cell.y.data(), cell.scratch.data(), stream);
}

void mix_backward(const Cell& cell, kernels::Stream stream) {
  kernels::NodeMixBackward p{};
  p.mix = cell.mix();
  p.dy = cell.dy.data();
  for (int e = 0; e < edges; ++e)
    for (int s = 0; s < sizes; ++s) p.coefficients[sizes * e + s] = cell.coefficient(e, s);
  p.dtheta = cell.dtheta.data();
  kernels::node_mix_backward<Device::cuda>(p, cell.scratch.data(), stream);
}

void norm_forward(const Cell& cell, kernels::Stream stream) {
  kernels::batch_norm_forward<Device::cuda>(
      cell.norm, cell.x.data(), cell.y.data(), cell.saved.data(),
      cell.saved.data() + cell.bundle.x_channels, cell.scratch.data(), stream);
}

void norm_backward(const Cell& cell, kernels::Stream stream) {
  kernels::batch_norm_backward<Device::cuda>(
      cell.norm, cell.x.data(), cell.dy.data(), cell.saved.data(),
      cell.saved.data() + cell.bundle.x_channels, cell.dx.data(), false, nullptr, nullptr,
      cell.scratch.data(), stream);
}

struct Case {
  const char *family, *direction;
  void (*call)(const Cell&, kernels::Stream);
  double flops, bytes;
};

/// Bytes: every array once, batch norm's inputs twice (statistics, then values); of x the bundles
/// read the first 1/K of the channels.
std::vector<Case> cases_of(const Cell& cell) {
  const double node = cell.node_bytes(), z = cell.z_bytes(), part = node / cell.bundle.parts(),
               values = static_cast<double>(cell.node()),
               mixed = static_cast<double>(cell.bundle.pixels()) * cell.bundle.c;
  return {{"conv_bundle", "forward", bundle_forward, cell.flops(), part + z},
          {"conv_bundle", "backward", bundle_backward, 2 * cell.flops(), 4 * node + part + z},
          {"node_mix", "forward", mix_forward, 24 * mixed, 2 * node + z},
          {"node_mix", "backward", mix_backward, 32 * mixed, 2 * node + z},
          {"batch_norm", "forward", norm_forward, 6 * values, 3 * node},
          {"batch_norm", "backward", norm_backward, 8 * values, 5 * node}};
}

int l2_bytes() {
  int bytes = 0;
  require_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, 0), "ask for the L2 cache");
  return bytes;
}

}  // namespace

std::vector<KernelTime> time_kernels(const DeviceTimer& timer, int batch) {
  std::vector<KernelTime> times;
  for (const int parts : {1, 4})
    for (int stage = 0; stage < 3; ++stage) {
      const int channels = 16 << stage, size = 32 >> stage;
      const kernels::ConvBundle bundle{batch,    size,  size,  channels / parts,
                                       channels, edges, sizes, {1, 3}};
      std::vector<std::unique_ptr<Cell>> cells;
      do {
        cells.push_back(std::make_unique<Cell>(bundle, timer.stream()));
      } while (static_cast<double>(cells.size()) * cells[0]->footprint() < 4.0 * l2_bytes());
      const int calls = std::max(least_calls, static_cast<int>(cells.size()));
      for (const Case& c : cases_of(*cells[0])) {
        const double ms = timer.milliseconds(
            calls, rounds, [&](int i) { c.call(*cells[i % cells.size()], timer.stream()); });
        times.push_back({c.family, c.direction, channels, size, parts, ms, c.flops, c.bytes});
      }
    }
  return times;
}

}  // namespace drnas::bench
