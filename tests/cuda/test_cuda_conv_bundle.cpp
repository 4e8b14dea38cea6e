// SPDX-License-Identifier: MIT
// Convolution bundles: CUDA sources against the CPU twin, statistics against float64.
#include <memory>
#include <optional>

#include "kernels/conv_bundle.h"
#include "tests/cuda/harness.h"
#include "tests/node_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::ConvBundle;
using kernels::ConvBundleBackward;
using kernels::ConvBundleForward;
using kernels::Stream;

namespace {

using Floats = std::vector<float>;
constexpr float eps = 1e-5f, momentum = 0.1f;
constexpr double unit = 0x1p-24;

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
  float* add(const Floats& values) {
    return *floats_.emplace_back(std::make_unique<Array<D, float>>(values));
  }
  float* output(std::int64_t count) { return add(Floats(count, NAN)); }
  const double* add(double value) {
    return *doubles_.emplace_back(std::make_unique<Array<D, double>>(std::vector{value}));
  }
  void* workspace(std::size_t bytes) {
    constexpr std::size_t alignment = 256;  // which device memory has
    const std::size_t room = D == Device::cpu ? alignment : 0;
    unsigned char* memory = *bytes_.emplace_back(
        std::make_unique<Array<D, unsigned char>>(std::vector<unsigned char>(bytes + room, 0xff)));
    memory += (alignment - reinterpret_cast<std::uintptr_t>(memory) % alignment) % alignment;
    return memory;
  }
  Floats read(const float* array) const {
    for (const auto& candidate : floats_)
      if (*candidate == array) return candidate->read();
    return {};
  }

 private:
  std::vector<std::unique_ptr<Array<D, float>>> floats_;
  std::vector<std::unique_ptr<Array<D, double>>> doubles_;
  std::vector<std::unique_ptr<Array<D, unsigned char>>> bytes_;
};

ConvBundle make_bundle(int n, int h, int w, int c, int parts, int edges,
                       const std::vector<int>& kernels) {
  ConvBundle b{n, h, w, c, c * parts, edges, static_cast<int>(kernels.size()), {}};
  std::copy(kernels.begin(), kernels.end(), b.kernel);
  return b;
}

int rows(const ConvBundle& b) { return b.edges * b.c; }

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

/// Per size: z, mean, inv_std, running mean, running variance.
template <Device D>
Results forward(const ConvBundle& b, const Inputs& in, Mode mode, Run run = Run::directly) {
  Arrays<D> arrays;
  ConvBundleForward f{};
  f.bundle = b;
  f.x = arrays.add(in.x);
  for (int s = 0; s < b.sizes; ++s) {
    f.weight[s] = arrays.add(in.weight[s]);
    f.z[s] = arrays.output(b.pixels() * b.z_channels());
    f.mean[s] = arrays.output(rows(b));
    f.inv_std[s] = arrays.output(rows(b));
    if (mode == Mode::no_running) continue;
    f.running_mean[s] = arrays.add(Floats(rows(b), 0.5f));
    f.running_var[s] = arrays.add(Floats(rows(b), 2.0f));
  }
  f.training = mode != Mode::evaluation;
  f.eps = eps;
  f.momentum = momentum;
  void* workspace = arrays.workspace(kernels::conv_bundle_forward_workspace<D>(b));
  run_on_stream(run, [&](Stream stream) { kernels::conv_bundle_forward<D>(f, workspace, stream); });
  Results out;
  for (int s = 0; s < b.sizes; ++s)
    for (const float* array :
         {f.z[s], f.mean[s], f.inv_std[s], f.running_mean[s], f.running_var[s]})
      out.add(arrays.read(array));
  return out;
}

void check_statistics(const ConvBundle& b, const Results& r, int size) {
  const Floats z = r.at(5 * size), mean = r.at(5 * size + 1), inv_std = r.at(5 * size + 2),
               running_mean = r.at(5 * size + 3), running_var = r.at(5 * size + 4);
  Doubles kept;
  bool padding_is_zero = true;
  for (std::size_t i = 0; i < z.size(); ++i)
    if (static_cast<int>(i % b.z_channels()) < rows(b))
      kept.push_back(z[i]);
    else
      padding_is_zero = padding_is_zero && z[i] == 0.0f;
  CHECK(padding_is_zero);
  const Moments moments(kept, rows(b));
  const double m = static_cast<double>(b.pixels());
  for (int ch = 0; ch < rows(b); ++ch) {
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

/// Roundings of a sum of `terms` against the largest result; the CPU twin's methods cost some more.
double tolerance(double terms) { return unit * (terms + 48); }

void check_forward(const ConvBundle& b, const Inputs& in) {
  const Results cpu = forward<Device::cpu>(b, in, Mode::training);
  Results device = forward<Device::cuda>(b, in, Mode::training);
  device.all = in_every_order([&] { return forward<Device::cuda>(b, in, Mode::training).all; });
  const Results still = forward<Device::cuda>(b, in, Mode::no_running),
                evaluation = forward<Device::cuda>(b, in, Mode::evaluation),
                cpu_evaluation = forward<Device::cpu>(b, in, Mode::evaluation);
  for (int s = 0; s < b.sizes; ++s) {
    CHECK(relative_error(device.at(5 * s), cpu.at(5 * s)) <
          tolerance(b.kernel[s] * b.kernel[s] * b.c));
    check_statistics(b, device, s);
    for (int i = 0; i < 3; ++i) CHECK(same_bits(still.at(5 * s + i), device.at(5 * s + i)));
    CHECK(same_bits(evaluation.at(5 * s), device.at(5 * s)));
    for (int i = 1; i < 5; ++i)
      CHECK(same_bits(evaluation.at(5 * s + i), cpu_evaluation.at(5 * s + i)));
  }
}

/// Random gradients of the destinations and coefficients.
struct Upstream {
  std::vector<Floats> dy, z;                      // per edge; per size
  std::vector<std::vector<Floats>> coefficients;  // per edge and size [3, c]
  std::vector<std::optional<double>> skip, pool;  // per edge

  Upstream(std::mt19937& rng, const ConvBundle& b) : coefficients(b.edges) {
    for (int s = 0; s < b.sizes; ++s) {
      z.push_back(normals(rng, b.pixels() * b.z_channels()));
      for (std::size_t i = 0; i < z[s].size(); ++i)
        if (static_cast<int>(i % b.z_channels()) >= rows(b)) z[s][i] = 0;
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
template <Device D>
Results backward(const ConvBundle& b, const Inputs& in, const Upstream& up,
                 const Wanted& wanted = {}, Run run = Run::directly) {
  Arrays<D> arrays;
  ConvBundleBackward k{};
  k.bundle = b;
  k.x = arrays.add(in.x);
  if (wanted.dx) k.dx = arrays.output(b.pixels() * b.x_channels);
  for (int s = 0; s < b.sizes; ++s) {
    k.weight[s] = arrays.add(in.weight[s]);
    k.z[s] = arrays.add(up.z[s]);
    if (wanted.dweight[s]) k.dweight[s] = arrays.output(b.weight_count(s));
  }
  for (int e = 0; e < b.edges; ++e) {
    k.edge[e].dy = arrays.add(up.dy[e]);
    for (int s = 0; s < b.sizes; ++s) k.edge[e].coefficients[s] = arrays.add(up.coefficients[e][s]);
    if (up.skip[e]) k.edge[e].skip_weight = arrays.add(*up.skip[e]);
    if (up.pool[e]) k.edge[e].pool_weight = arrays.add(*up.pool[e]);
  }
  void* workspace = arrays.workspace(kernels::conv_bundle_backward_workspace<D>(b));
  run_on_stream(run,
                [&](Stream stream) { kernels::conv_bundle_backward<D>(k, workspace, stream); });
  Results out;
  out.add(arrays.read(k.dx));
  for (int s = 0; s < b.sizes; ++s) out.add(arrays.read(k.dweight[s]));
  return out;
}

void check_backward(const ConvBundle& b, const Inputs& in, const Upstream& up) {
  const Results cpu = backward<Device::cpu>(b, in, up);
  Results device = backward<Device::cuda>(b, in, up);
  device.all = in_every_order([&] { return backward<Device::cuda>(b, in, up).all; });
  int taps = 0;
  for (int s = 0; s < b.sizes; ++s) {
    taps += b.kernel[s] * b.kernel[s];
    CHECK(relative_error(device.at(1 + s), cpu.at(1 + s)) <
          tolerance(static_cast<double>(b.pixels())));
  }
  CHECK(relative_error(device.at(0), cpu.at(0)) < tolerance(taps * rows(b) + 2 * b.edges));
  // Whatever is left out, the rest keeps its bits.
  for (const Wanted& wanted :
       {Wanted{false}, Wanted{true, {false, false}}, Wanted{true, {true, false}},
        Wanted{false, {false, true}}, Wanted{false, {false, false}}}) {
    const Results part = backward<Device::cuda>(b, in, up, wanted);
    if (wanted.dx) CHECK(same_bits(part.at(0), device.at(0)));
    for (int s = 0; s < b.sizes; ++s)
      if (wanted.dweight[s]) CHECK(same_bits(part.at(1 + s), device.at(1 + s)));
  }
}

template <class Body>
void capture_and(const ConvBundle& b, const Body& body) {
  CAPTURE(b.n);
  CAPTURE(b.h);
  CAPTURE(b.w);
  CAPTURE(b.c);
  CAPTURE(b.parts());
  CAPTURE(b.edges);
  CAPTURE(b.kernel[0]);
  CAPTURE(b.kernel[1]);
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

/// Several blocks of pixels, several tiles of channels, images of several strips.
const ConvBundle large_shapes[] = {make_bundle(3, 9, 9, 16, 1, 3, {1, 3}),
                                   make_bundle(2, 9, 8, 4, 4, 8, {3}),
                                   make_bundle(2, 7, 9, 12, 2, 7, {3, 1})};

}  // namespace

TEST_CASE("cuda: conv bundle forward agrees with the CPU's") {
  auto rng = random_engine(71);
  const auto check = [&](const ConvBundle& b) { check_forward(b, Inputs(rng, b)); };
  each_shape(rng, check);
  for (const ConvBundle& b : large_shapes) capture_and(b, [&] { check(b); });
}

TEST_CASE("cuda: conv bundle statistics of more pixels than blocks hold at once") {
  auto rng = random_engine(72);
  const ConvBundle b = make_bundle(1, 130, 127, 8, 1, 8, {1});
  const Inputs in(rng, b);
  Results r = forward<Device::cuda>(b, in, Mode::training);
  r.all = in_every_order([&] { return forward<Device::cuda>(b, in, Mode::training).all; });
  check_statistics(b, r, 0);
}

TEST_CASE("cuda: conv bundle backward agrees with the CPU's") {
  auto rng = random_engine(73);
  const auto check = [&](const ConvBundle& b) {
    const Inputs in(rng, b);
    check_backward(b, in, Upstream(rng, b));
  };
  each_shape(rng, check);
  for (const ConvBundle& b : large_shapes) capture_and(b, [&] { check(b); });
}

TEST_CASE("cuda: conv bundles replay from a graph") {
  auto rng = random_engine(74);
  for (const ConvBundle& b : {large_shapes[0], make_bundle(2, 5, 3, 6, 2, 2, {1, 3})}) {
    const Inputs in(rng, b);
    const Upstream up(rng, b);
    const Results f = forward<Device::cuda>(b, in, Mode::no_running),
                  g = backward<Device::cuda>(b, in, up);
    CHECK(same_bits(forward<Device::cuda>(b, in, Mode::no_running, Run::replayed).all, f.all));
    CHECK(same_bits(backward<Device::cuda>(b, in, up, {}, Run::replayed).all, g.all));
  }
}

#ifdef DRNAS_SIMT
TEST_CASE("cuda: conv bundles start few kernels beside the convolutions") {
  auto rng = random_engine(75);
  for (const int c : {6, 8}) {
    const ConvBundle b = make_bundle(1, 3, 3, c, 1, 2, {1, 3});
    const Inputs in(rng, b);
    const Upstream up(rng, b);
    const auto started = [](const auto& body) {
      const std::int64_t before = simt::counts().kernels;
      body();
      return simt::counts().kernels - before;
    };
    CHECK(started([&] { forward<Device::cuda>(b, in, Mode::training); }) == 2);
    CHECK(started([&] { forward<Device::cuda>(b, in, Mode::evaluation); }) == 2);
    CHECK(started([&] { backward<Device::cuda>(b, in, up); }) == (c == 6 ? 3 : 2));
  }
}
#endif

TEST_CASE("cuda: conv bundles of too many values are refused") {
  CHECK_THROWS_WITH_AS(
      kernels::conv_bundle_forward_workspace<Device::cuda>(
          make_bundle(1024, 1024, 1024, 4, 1, 1, {1})),
      "conv_bundle: 1073741824 pixels of 4 channels, expected fewer than 2^31 values",
      drnas::Error);
}
