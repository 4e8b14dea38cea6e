// SPDX-License-Identifier: MIT
// Kernels of a cell at the three stage shapes of C 16, batch 64; arguments: channels, image size,
// partial channels K. Products on planes at the shapes of a DARTS cell, batch 16; arguments: c_in,
// c_out, outputs, image size, stride.
#include <benchmark/benchmark.h>

#include <vector>

#include "engine/ops/workspace.h"
#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/node_mix.h"
#include "kernels/layers/batch_norm.h"
#include "kernels/planes/conv1x1_planes.h"
#include "kernels/planes/separable.h"
#include "kernels/random/philox_fill.h"

namespace {

using namespace drnas;
using benchmark::Counter;
using benchmark::State;

constexpr int batch = 64;

Tensor random_tensor(Shape shape) {
  Tensor t(shape, MemoryTag::activations);
  kernels::fill_normal<Device::cpu>(t.data(), t.elements(), 0, 1, 1, kernels::Purpose::synthetic, 0,
                                    nullptr);
  return t;
}

void declare(State& state, double flops, double bytes) {
  state.SetBytesProcessed(
      static_cast<std::int64_t>(bytes * static_cast<double>(state.iterations())));
  state.counters["FLOPS"] =
      Counter(flops, Counter::kIsIterationInvariantRate, Counter::OneK::kIs1000);
}

/// The bundle that leaves node 0 (three edges, 1x1 and 3x3) and everything around it.
struct Cell {
  kernels::ConvBundle bundle;
  Tensor x, y, dy, dx, z[2], statistics, weights[2], dweights[2], coefficients;
  Tensor theta{{1, 1, 6, 5}, MemoryTag::optimizer, Device::cpu, DType::f64}, dtheta = theta;

  explicit Cell(const State& state) {
    const int channels = static_cast<int>(state.range(0)), size = static_cast<int>(state.range(1)),
              parts = static_cast<int>(state.range(2)), c = channels / parts;
    bundle = {batch, size, size, c, channels, 3, 2, {1, 3}};
    const Shape node{batch, size, size, channels};
    for (Tensor* t : {&x, &y, &dy, &dx}) *t = random_tensor(node);
    statistics = random_tensor({2, 1, 2, 3 * c});
    for (int s = 0; s < 2; ++s) {
      z[s] = random_tensor({batch, size, size, bundle.z_channels(s)});
      weights[s] = random_tensor({3 * c, bundle.kernel[s], bundle.kernel[s], c});
      dweights[s] = random_tensor(weights[s].shape());
    }
    coefficients = random_tensor({6, 1, 3, c});
    for (int i = 0; i < 30; ++i) theta.data<double>()[i] = 0.2;
    dtheta = Tensor::zeros(theta.shape(), MemoryTag::optimizer, Device::cpu, DType::f64);
  }
  double node_bytes() const { return 4.0 * static_cast<double>(x.elements()); }
  double z_bytes() const { return 4.0 * static_cast<double>(z[0].elements() + z[1].elements()); }
  double flops() const {
    double macs = 0;
    for (int s = 0; s < 2; ++s) macs += static_cast<double>(bundle.weight_count(s));
    return 2 * macs * static_cast<double>(bundle.pixels());
  }
  float* mean(int s) const { return statistics.data() + std::ptrdiff_t{6} * s * bundle.c; }

  /// Node 3 of a cell whose three sources are one and the same: the heaviest mix.
  kernels::NodeMix mix() const {
    kernels::NodeMix m{};
    m.n = bundle.n, m.h = bundle.h, m.w = bundle.w, m.c = bundle.c, m.channels = bundle.x_channels;
    m.theta = theta.data<double>();
    for (int e = 0; e < 3; ++e) {
      for (int s = 0; s < 2; ++s)
        m.term[m.terms++] = {z[s].data() + e * bundle.c, bundle.z_channels(s),
                             mean(s) + e * bundle.c, mean(s) + (3 + e) * bundle.c, 5 * e + 2 + s};
      m.source[m.sources++] = {x.data(), 5 * e + 1, 5 * e + 4};
    }
    return m;
  }
};

void conv_bundle_forward(State& state) {
  const Cell cell(state);
  kernels::ConvBundleForward p{};
  p.bundle = cell.bundle;
  p.x = cell.x.data();
  for (int s = 0; s < 2; ++s) {
    p.weight[s] = cell.weights[s].data();
    p.z[s] = cell.z[s].data();
    p.mean[s] = cell.mean(s);
    p.inv_std[s] = cell.mean(s) + 3 * cell.bundle.c;
  }
  p.training = true;
  p.eps = 1e-5f;
  const Tensor scratch =
      workspace(Device::cpu, kernels::conv_bundle_forward_workspace<Device::cpu>(p.bundle));
  for (auto _ : state) kernels::conv_bundle_forward<Device::cpu>(p, scratch.data(), nullptr);
  declare(state, cell.flops(), cell.node_bytes() + cell.z_bytes());
}

void conv_bundle_backward(State& state) {
  const Cell cell(state);
  kernels::ConvBundleBackward p{};
  p.bundle = cell.bundle;
  p.x = cell.x.data();
  p.dx = cell.dx.data();
  for (int s = 0; s < 2; ++s) {
    p.weight[s] = cell.weights[s].data();
    p.z[s] = cell.z[s].data();
    p.dweight[s] = cell.dweights[s].data();
  }
  for (int e = 0; e < 3; ++e) {
    p.edge[e].dy = cell.dy.data();
    p.edge[e].skip_weight = p.edge[e].pool_weight = cell.theta.data<double>();
    for (int s = 0; s < 2; ++s)
      p.edge[e].coefficients[s] = cell.coefficients.data() + (2 * e + s) * 3 * cell.bundle.c;
  }
  const Tensor scratch =
      workspace(Device::cpu, kernels::conv_bundle_backward_workspace<Device::cpu>(p.bundle));
  for (auto _ : state) kernels::conv_bundle_backward<Device::cpu>(p, scratch.data(), nullptr);
  declare(state, 2 * cell.flops(), 5 * cell.node_bytes() + cell.z_bytes());
}

void node_mix_forward(State& state) {
  const Cell cell(state);
  const kernels::NodeMix mix = cell.mix();
  const Tensor scratch = workspace(Device::cpu, kernels::node_mix_workspace<Device::cpu>(mix));
  for (auto _ : state)
    kernels::node_mix_forward<Device::cpu>(mix, cell.y.data(), scratch.data(), nullptr);
  declare(state, 2.0 * static_cast<double>(cell.bundle.pixels()) * cell.bundle.c * 12,
          2 * cell.node_bytes() + cell.z_bytes());
}

void node_mix_backward(State& state) {
  const Cell cell(state);
  kernels::NodeMixBackward p{};
  p.mix = cell.mix();
  p.dy = cell.dy.data();
  for (int t = 0; t < 6; ++t)
    p.coefficients[t] = cell.coefficients.data() + std::ptrdiff_t{3} * t * cell.bundle.c;
  p.dtheta = cell.dtheta.data<double>();
  const Tensor scratch =
      workspace(Device::cpu, kernels::node_mix_backward_workspace<Device::cpu>(p.mix));
  for (auto _ : state) kernels::node_mix_backward<Device::cpu>(p, scratch.data(), nullptr);
  declare(state, 2.0 * static_cast<double>(cell.bundle.pixels()) * cell.bundle.c * 16,
          2 * cell.node_bytes() + cell.z_bytes());
}

void batch_norm_both_ways(State& state) {
  const Cell cell(state);
  const int channels = cell.bundle.x_channels;
  const kernels::BatchNorm p{
      cell.bundle.pixels(), channels, false, 1e-5f, 0.1f, nullptr, nullptr, nullptr, nullptr};
  const Tensor scratch = workspace(Device::cpu, kernels::batch_norm_workspace<Device::cpu>(p));
  const Tensor saved = random_tensor({1, 1, 2, channels});
  for (auto _ : state) {
    kernels::batch_norm_forward<Device::cpu>(p, cell.x.data(), cell.y.data(), saved.data(),
                                             saved.data() + channels, scratch.data(), nullptr);
    kernels::batch_norm_backward<Device::cpu>(p, cell.x.data(), cell.dy.data(), saved.data(),
                                              saved.data() + channels, cell.dx.data(), false,
                                              nullptr, nullptr, scratch.data(), nullptr);
  }
  declare(state, 14.0 * static_cast<double>(cell.x.elements()), 8 * cell.node_bytes());
}

/// A 1x1 convolution on planes; stride 2 reads from offsets 0, 1, ...
struct Products {
  kernels::Conv1x1Planes shape{};
  Tensor x, dx, y[kernels::Conv1x1Planes::max_outputs], weight[kernels::Conv1x1Planes::max_outputs],
      dweight[kernels::Conv1x1Planes::max_outputs];

  explicit Products(const State& state) {
    constexpr int images = 16;
    const int c_in = static_cast<int>(state.range(0)), c_out = static_cast<int>(state.range(1)),
              size = static_cast<int>(state.range(3));
    shape.n = images, shape.c_in = c_in, shape.h = shape.w = size, shape.relu = true;
    shape.outputs = static_cast<int>(state.range(2));
    shape.stride = static_cast<int>(state.range(4));
    for (Tensor* t : {&x, &dx}) *t = random_tensor({images, c_in, size, size});
    for (int o = 0; o < shape.outputs; ++o) {
      shape.c_out[o] = c_out;
      shape.offset[o] = o % shape.stride;
      y[o] = random_tensor({images, c_out, shape.out_h(), shape.out_w()});
      weight[o] = random_tensor({c_out, c_in, 1, 1});
      dweight[o] = random_tensor(weight[o].shape());
    }
  }
  static std::int64_t image(const Tensor& t) { return t.elements() / t.shape().n; }
  double flops() const {
    double macs = 0;
    for (int o = 0; o < shape.outputs; ++o)
      macs += static_cast<double>(y[o].elements()) * shape.c_in;
    return 2 * macs;
  }
  double bytes() const {
    double elements = static_cast<double>(x.elements());
    for (int o = 0; o < shape.outputs; ++o) elements += static_cast<double>(y[o].elements());
    return 4 * elements;
  }
};

void conv1x1_forward(State& state) {
  Products c(state);
  kernels::Conv1x1Forward p{};
  p.shape = c.shape;
  p.x = {c.x.data(), Products::image(c.x)};
  for (int o = 0; o < c.shape.outputs; ++o) {
    p.weight[o] = c.weight[o].data();
    p.y[o] = {c.y[o].data(), Products::image(c.y[o])};
  }
  const Tensor scratch =
      workspace(Device::cpu, kernels::conv1x1_forward_workspace<Device::cpu>(p.shape));
  for (auto _ : state) kernels::conv1x1_forward<Device::cpu>(p, scratch.data(), nullptr);
  declare(state, c.flops(), c.bytes());
}

void conv1x1_backward(State& state) {
  Products c(state);
  kernels::Conv1x1Backward p{};
  p.shape = c.shape;
  p.x = {c.x.data(), Products::image(c.x)};
  p.dx = {c.dx.data(), Products::image(c.dx)};
  for (int o = 0; o < c.shape.outputs; ++o) {
    p.weight[o] = c.weight[o].data();
    p.dweight[o] = c.dweight[o].data();
    p.dy[o] = {c.y[o].data(), Products::image(c.y[o])};
  }
  const Tensor scratch =
      workspace(Device::cpu, kernels::conv1x1_backward_workspace<Device::cpu>(p.shape));
  for (auto _ : state) kernels::conv1x1_backward<Device::cpu>(p, scratch.data(), nullptr);
  declare(state, 2 * c.flops(), 2 * c.bytes());
}

void product_shapes(benchmark::internal::Benchmark* b) {
  for (int stage = 0; stage < 3; ++stage) b->Args({144 << stage, 36 << stage, 2, 32 >> stage, 1});
  b->Args({144, 36, 1, 32, 1})->Args({36, 36, 1, 32, 1})->Args({144, 36, 2, 32, 2});
}

/// Sixteen depthwise-separable filters (3x3, 5x5 and both dilated) of the DARTS space that share
/// their input, at batch 16.
struct SeparableCall {
  kernels::SeparableForward forward{};
  kernels::SeparableBackward backward{};
  std::vector<Tensor> tensors;
  double forward_flops = 0, backward_flops = 0;

  float* tensor(Shape shape) { return tensors.emplace_back(random_tensor(shape)).data(); }

  explicit SeparableCall(const State& state) {
    const int c = static_cast<int>(state.range(0)), size = static_cast<int>(state.range(1));
    const kernels::Separable s{16, c, size, size, c, static_cast<int>(state.range(2)), 16};
    const std::int64_t x_stride = std::int64_t{c} * size * size,
                       z_stride = std::int64_t{c} * s.out_h() * s.out_w();
    const float* x = tensor({s.n, size, size, c});
    float* dx = tensor({s.n, size, size, c});
    forward.shape = backward.shape = s;
    for (int f = 0; f < s.filters; ++f) {
      const int kernel = f % 2 ? 5 : 3, taps = kernel * kernel;
      kernels::SeparableFilter& filter = forward.filter[f];
      filter.kernel = kernel;
      filter.dilation = 1 + f / 2 % 2;
      filter.in.x = {x, x_stride};
      filter.depthwise = tensor({c, 1, 1, taps});
      filter.pointwise = tensor({c, 1, 1, c});
      forward.z[f] = {tensor({s.n, s.out_h(), s.out_w(), c}), z_stride};
      forward.statistics[f].mean = tensor({1, 1, 1, c});
      forward.statistics[f].inv_std = tensor({1, 1, 1, c});
      backward.filter[f] = filter;
      backward.z[f] = {forward.z[f].data, z_stride};
      backward.gradient[f] = {
          {tensor({s.n, s.out_h(), s.out_w(), c}), z_stride}, 1, tensor({1, 1, 3, c})};
      backward.dx[f] = {dx, x_stride};
      backward.ddepthwise[f] = tensor({c, 1, 1, taps});
      backward.dpointwise[f] = tensor({c, 1, 1, c});
      const double pairs = 2.0 * s.n * static_cast<double>(z_stride);
      forward_flops += pairs * (taps + c);
      backward_flops += pairs * (3 * taps + 2 * c);  // the depthwise output is rebuilt
    }
  }
};

void separable_forward(State& state) {
  const SeparableCall call(state);
  const Tensor scratch =
      workspace(Device::cpu, kernels::separable_forward_workspace<Device::cpu>(call.forward.shape));
  for (auto _ : state)
    kernels::separable_forward<Device::cpu>(call.forward, scratch.data(), nullptr);
  declare(state, call.forward_flops, 0);
}

void separable_backward(State& state) {
  const SeparableCall call(state);
  const Tensor scratch = workspace(
      Device::cpu, kernels::separable_backward_workspace<Device::cpu>(call.backward.shape));
  for (auto _ : state)
    kernels::separable_backward<Device::cpu>(call.backward, scratch.data(), nullptr);
  declare(state, call.backward_flops, 0);
}

/// Channels, image size, stride.
void separable_shapes(benchmark::internal::Benchmark* b) {
  for (int stage = 0; stage < 3; ++stage) b->Args({6 << stage, 32 >> stage, 1});
  b->Args({12, 32, 2})->Args({24, 16, 2});
  b->Unit(benchmark::kMillisecond)->UseRealTime();
}

void stage_shapes(benchmark::internal::Benchmark* b) {
  for (const int parts : {1, 4})
    for (int stage = 0; stage < 3; ++stage) b->Args({16 << stage, 32 >> stage, parts});
  b->Unit(benchmark::kMillisecond)->UseRealTime();
}

BENCHMARK(conv_bundle_forward)->Apply(stage_shapes);
BENCHMARK(conv_bundle_backward)->Apply(stage_shapes);
BENCHMARK(node_mix_forward)->Apply(stage_shapes);
BENCHMARK(node_mix_backward)->Apply(stage_shapes);
BENCHMARK(batch_norm_both_ways)->Apply(stage_shapes);
BENCHMARK(conv1x1_forward)->Apply(product_shapes);
BENCHMARK(conv1x1_backward)->Apply(product_shapes);
BENCHMARK(separable_forward)->Apply(separable_shapes);
BENCHMARK(separable_backward)->Apply(separable_shapes);

}  // namespace
