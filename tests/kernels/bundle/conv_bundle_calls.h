// SPDX-License-Identifier: MIT
// Calls of convolution bundles on either device, with activations stored as T: float or bfloat16.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "kernels/bundle/conv_bundle.h"
#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/node_reference.h"

namespace drnas::test::conv_bundle {

using kernels::ConvBundle;
using kernels::Stream;

using Floats = std::vector<float>;
inline constexpr float eps = 1e-5f, momentum = 0.1f;
inline constexpr double unit = 0x1p-24;

/// An array where D's kernels run.
template <Device D, class T>
class Array {
 public:
  explicit Array(std::vector<T> values) {
    if constexpr (D == Device::cuda)
      device_ = std::make_unique<DeviceArray<T>>(values);
    else
      host_ = std::move(values);
  }
  operator T*() { return D == Device::cuda ? device_->data() : host_.data(); }
  std::vector<T> read() const { return D == Device::cuda ? device_->read() : host_; }

 private:
  std::unique_ptr<DeviceArray<T>> device_;
  std::vector<T> host_;
};

/// The arrays of one call; outputs start as NaN.
template <Device D>
class Arrays {
 public:
  template <class T>
  T* add(std::vector<T> values) {
    const auto array = std::make_shared<Array<D, T>>(std::move(values));
    T* where = *array;
    readers_.push_back({where, [array] { return widened(array->read()); }});
    return where;
  }
  template <class T>
  T* output(std::int64_t count) {
    return add(std::vector<T>(count, T(NAN)));
  }
  void* workspace(std::size_t bytes) {
    constexpr std::size_t alignment = 256;  // which device memory has
    const std::size_t room = D == Device::cpu ? alignment : 0;
    unsigned char* memory = add(std::vector<unsigned char>(bytes + room, 0xff));
    memory += (alignment - reinterpret_cast<std::uintptr_t>(memory) % alignment) % alignment;
    return memory;
  }
  Floats read(const void* array) const {
    for (const auto& [where, read] : readers_)
      if (where == array) return read();
    return {};
  }

 private:
  std::vector<std::pair<const void*, std::function<Floats()>>> readers_;
};

inline ConvBundle make_bundle(int n, int h, int w, int c, int parts, int edges,
                              const std::vector<int>& kernels,
                              const std::vector<std::uint8_t>& present = {}) {
  ConvBundle b{n, h, w, c, c * parts, edges, static_cast<int>(kernels.size()), {}};
  std::copy(kernels.begin(), kernels.end(), b.kernel);
  std::copy(present.begin(), present.end(), b.present);
  return b;
}

/// A bundle of which each edge lacks sizes by chance; sizes without edges are left out.
inline ConvBundle ragged(std::mt19937& rng, const ConvBundle& full) {
  ConvBundle b = full;
  b.sizes = 0;
  for (int s = 0; s < full.sizes; ++s) {
    const unsigned every = (1u << b.edges) - 1, present = rng() & every;
    if (present == 0) continue;
    b.kernel[b.sizes] = full.kernel[s];
    b.present[b.sizes++] = static_cast<std::uint8_t>(present | (rng() & 0xff & ~every));
  }
  return b;
}

/// Products that an element of dx is made of, edges' sums included.
inline int products_of_dx(const ConvBundle& b) {
  int products = 2 * b.edges;
  for (int s = 0; s < b.sizes; ++s) products += b.kernel[s] * b.kernel[s] * b.rows(s);
  return products;
}

/// Results one after the other, and where they lie.
struct Results {
  Floats all;
  std::vector<std::size_t> ends;

  void add(const Floats& values) {
    all.insert(all.end(), values.begin(), values.end());
    ends.push_back(all.size());
  }
  Floats at(int i) const {
    return Floats(all.begin() + (i ? ends[i - 1] : 0), all.begin() + ends[i]);
  }
};

/// The channels that no convolution reads are infinite.
struct Inputs {
  Floats x;
  std::vector<Floats> weight;

  Inputs(std::mt19937& rng, const ConvBundle& b) : x(normals(rng, b.pixels() * b.x_channels)) {
    for (float& v : x)
      if (rng() % 16 == 0) v = rng() % 2 ? 0.0f : -0.0f;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (static_cast<int>(i % b.x_channels) >= b.c) x[i] = INFINITY;
    for (int s = 0; s < b.sizes; ++s) weight.push_back(normals(rng, b.weight_count(s)));
  }
};

enum class Mode { training, no_running, evaluation };
enum class Run { directly, replayed };

/// Calls body(stream), or captures what it starts and replays that twice.
template <class Body>
void run_on_stream(Run run, const Body& body) {
  if (run == Run::directly) return body(Stream{});
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  body(Stream{stream});
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&replay, graph, 0) == cudaSuccess);
  for (int i = 0; i < 2; ++i) REQUIRE(cudaGraphLaunch(replay, stream) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  cudaGraphDestroy(graph);
  cudaGraphExecDestroy(replay);
  cudaStreamDestroy(stream);
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

/// Per size: z, mean, inv_std, running mean, running variance.
template <Device D, class T = float>
Results forward(const ConvBundle& b, const Inputs& in, Mode mode, Run run = Run::directly) {
  Arrays<D> arrays;
  kernels::ConvBundleForwardOf<T> f{};
  f.bundle = b;
  f.x = arrays.add(stored<T>(in.x));
  for (int s = 0; s < b.sizes; ++s) {
    f.weight[s] = arrays.add(stored<T>(in.weight[s]));
    f.z[s] = arrays.template output<T>(b.pixels() * b.z_channels(s));
    f.mean[s] = arrays.template output<float>(b.rows(s));
    f.inv_std[s] = arrays.template output<float>(b.rows(s));
    if (mode == Mode::no_running) continue;
    f.running_mean[s] = arrays.add(Floats(b.rows(s), 0.5f));
    f.running_var[s] = arrays.add(Floats(b.rows(s), 2.0f));
  }
  f.training = mode != Mode::evaluation;
  f.eps = eps;
  f.momentum = momentum;
  void* workspace = arrays.workspace(forward_workspace<D, T>(b));
  run_on_stream(run, [&](Stream stream) { kernels::conv_bundle_forward<D>(f, workspace, stream); });
  Results out;
  for (int s = 0; s < b.sizes; ++s) {
    out.add(arrays.read(f.z[s]));
    for (const float* array : {f.mean[s], f.inv_std[s], f.running_mean[s], f.running_var[s]})
      out.add(arrays.read(array));
  }
  return out;
}

/// Roundings of a sum of `terms` against the largest result; the CPU twin's methods cost some more.
inline double tolerance(double terms) { return unit * (terms + 48); }

/// Statistics of z against float64, and zeros in its padding.
inline void check_statistics(const ConvBundle& b, const Results& r, int size) {
  const Floats z = r.at(5 * size), mean = r.at(5 * size + 1), inv_std = r.at(5 * size + 2),
               running_mean = r.at(5 * size + 3), running_var = r.at(5 * size + 4);
  const int rows = b.rows(size);
  Doubles kept;
  bool padding_is_zero = true;
  for (std::size_t i = 0; i < z.size(); ++i)
    if (static_cast<int>(i % b.z_channels(size)) < rows)
      kept.push_back(z[i]);
    else
      padding_is_zero = padding_is_zero && z[i] == 0.0f;
  CHECK(padding_is_zero);
  const Moments moments(kept, rows);
  const double m = static_cast<double>(b.pixels());
  for (int ch = 0; ch < rows; ++ch) {
    // A thread adds up eight values and merges a few sums of eight; the rest is in double.
    const double expected = moments.mean[ch], var = moments.var[ch],
                 power = var + expected * expected + 1e-30, bound = 16 * unit * std::sqrt(power),
                 var_bound = 32 * unit * power, unbiased = m > 1 ? var * m / (m - 1) : 0;
    CHECK(std::abs(mean[ch] - expected) <= bound);
    CHECK(std::abs(inv_std[ch] * std::sqrt(var + eps) - 1) <=
          0.5 * var_bound / (var + eps) + 2 * unit);
    CHECK(std::abs(running_mean[ch] - (0.9 * 0.5 + 0.1 * expected)) <= bound + 2 * unit);
    CHECK(std::abs(running_var[ch] - (0.9 * 2.0 + 0.1 * unbiased)) <=
          var_bound * m / std::max(1.0, m - 1) + 4 * unit * (2 + unbiased));
  }
}

/// Random gradients of the destinations and coefficients.
struct Upstream {
  std::vector<Floats> dy, z;                      // per edge; per size
  std::vector<std::vector<Floats>> coefficients;  // per edge and size [3, c]
  std::vector<std::optional<double>> skip, pool;  // per edge

  Upstream(std::mt19937& rng, const ConvBundle& b) : coefficients(b.edges) {
    for (int s = 0; s < b.sizes; ++s) {
      z.push_back(normals(rng, b.pixels() * b.z_channels(s)));
      for (std::size_t i = 0; i < z[s].size(); ++i)
        if (static_cast<int>(i % b.z_channels(s)) >= b.rows(s)) z[s][i] = 0;
    }
    for (int e = 0; e < b.edges; ++e) {
      dy.push_back(normals(rng, b.pixels() * b.x_channels));
      for (int s = 0; s < b.sizes; ++s) coefficients[e].push_back(normals(rng, 3 * b.c));
      const auto weight = [&] {
        return rng() % 4 ? std::optional<double>(normals(rng, 1)[0] + 0.1) : std::nullopt;
      };
      skip.push_back(weight());
      pool.push_back(weight());
    }
  }
};

struct Wanted {
  bool dx = true, dweight[ConvBundle::max_sizes] = {true, true};
};

/// dx, then dweight of each size.
template <Device D, class T = float>
Results backward(const ConvBundle& b, const Inputs& in, const Upstream& up,
                 const Wanted& wanted = {}, Run run = Run::directly) {
  Arrays<D> arrays;
  kernels::ConvBundleBackwardOf<T> k{};
  k.bundle = b;
  k.x = arrays.add(stored<T>(in.x));
  if (wanted.dx) k.dx = arrays.template output<T>(b.pixels() * b.x_channels);
  for (int s = 0; s < b.sizes; ++s) {
    k.weight[s] = arrays.add(stored<T>(in.weight[s]));
    k.z[s] = arrays.add(stored<T>(up.z[s]));
    if (wanted.dweight[s]) k.dweight[s] = arrays.template output<float>(b.weight_count(s));
  }
  for (int e = 0; e < b.edges; ++e) {
    k.edge[e].dy = arrays.add(stored<T>(up.dy[e]));
    for (int s = 0; s < b.sizes; ++s)
      if (b.has(s, e)) k.edge[e].coefficients[s] = arrays.add(up.coefficients[e][s]);
    if (up.skip[e]) k.edge[e].skip_weight = arrays.add(std::vector{*up.skip[e]});
    if (up.pool[e]) k.edge[e].pool_weight = arrays.add(std::vector{*up.pool[e]});
  }
  void* workspace = arrays.workspace(backward_workspace<D, T>(b));
  run_on_stream(run,
                [&](Stream stream) { kernels::conv_bundle_backward<D>(k, workspace, stream); });
  Results out;
  out.add(arrays.read(k.dx));
  for (int s = 0; s < b.sizes; ++s) out.add(arrays.read(k.dweight[s]));
  return out;
}

template <class Body>
void capture_and(const ConvBundle& b, const Body& body) {
  CAPTURE(b.n);
  CAPTURE(b.h);
  CAPTURE(b.w);
  CAPTURE(b.c);
  CAPTURE(b.parts());
  CAPTURE(b.edges);
  CAPTURE(b.sizes);
  CAPTURE(b.kernel[0]);
  CAPTURE(b.kernel[1]);
  CAPTURE(static_cast<int>(b.present[0]));
  CAPTURE(static_cast<int>(b.present[1]));
  body();
}

/// Every number of parts and channels; the rest by chance.
template <class Body>
void each_shape(std::mt19937& rng, const Body& body) {
  static const std::vector<int> sizes[] = {{1, 3}, {3, 1}, {3}, {1}};
  const auto up_to = [&](unsigned most) { return 1 + static_cast<int>(rng() % most); };
  for (const int parts : {1, 2, 3, 4, 8})
    for (const int c : {1, 2, 3, 4, 6, 8, 9, 16}) {
      const int n = up_to(3), h = up_to(7), w = up_to(7), edges = up_to(3);
      const ConvBundle b = make_bundle(n, h, w, c, parts, edges, sizes[rng() % 4]);
      capture_and(b, [&] { body(b); });
    }
}

}  // namespace drnas::test::conv_bundle
