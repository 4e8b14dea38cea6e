// SPDX-License-Identifier: MIT
// Philox fills and Dirichlet kernels: CUDA sources against the CPU twins.
#include "kernels/alpha/dirichlet.h"
#include "kernels/random/philox_fill.h"
#include "tests/cuda/curand_words.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Purpose;

TEST_CASE("cuda: uniform fills have the bits of the CPU's, normal fills are close") {
  for (const int n : {1, 2, 3, 257, 4099}) {
    std::vector<float> uniform(n), normal(n);
    kernels::fill_uniform<Device::cpu>(uniform.data(), n, -0.3f, 0.7f, 12, Purpose::init, 3,
                                       nullptr);
    kernels::fill_normal<Device::cpu>(normal.data(), n, 0.1f, 2.0f, 12, Purpose::init, 3, nullptr);
    const auto device_uniform = in_every_order([&] {
      const DeviceArray<float> out(n);
      kernels::fill_uniform<Device::cuda>(out, n, -0.3f, 0.7f, 12, Purpose::init, 3, nullptr);
      return out.read();
    });
    const auto device_normal = in_every_order([&] {
      const DeviceArray<float> out(n);
      kernels::fill_normal<Device::cuda>(out, n, 0.1f, 2.0f, 12, Purpose::init, 3, nullptr);
      return out.read();
    });
    CHECK(same_bits(device_uniform, uniform));
    CHECK(relative_error(device_normal, normal) < 1e-6);
  }
}

#ifndef DRNAS_SIMT
TEST_CASE("cuda: Philox words are cuRAND's") {
  constexpr int count = 1000;
  constexpr std::uint64_t seed = 0x123456789abcdef0u;
  auto engine = random_engine(6);
  std::vector<std::uint32_t> counters(4 * count), expected;
  for (std::uint32_t& word : counters) word = engine();
  for (int i = 0; i < count; ++i) {
    const std::uint32_t* c = &counters[4 * i];
    const kernels::PhiloxWords words =
        kernels::philox({c[0], c[1], c[2], c[3]}, kernels::philox_key(seed));
    expected.insert(expected.end(), words.word, words.word + 4);
  }
  const kernels::PhiloxKey key = kernels::philox_key(seed);
  const DeviceArray<std::uint32_t> in(counters), out(counters.size());
  curand_words(in, key.lo, key.hi, out, count);
  CHECK(out.read() == expected);
}
#endif

namespace {

/// Everything that a draw and its gradient leave, one after the other.
template <class Run>
std::vector<double> draw_and_differentiate(int edges, int ops, const Run& run) {
  const int size = edges * ops;
  auto engine = random_engine(5);
  std::normal_distribution<double> normal;
  std::vector<double> alpha(size), dtheta(size);
  for (double& a : alpha) a = normal(engine);
  for (double& g : dtheta) g = normal(engine);
  std::vector<std::uint8_t> mask(size);
  for (int i = 0; i < size; ++i) mask[i] = i % ops == 0 || i % 3 != 0;
  return run(alpha, mask, dtheta);
}

}  // namespace

TEST_CASE("cuda: Dirichlet draws and derivatives agree with the CPU's") {
  for (const auto& [edges, ops] : {std::pair{6, 5}, {14, 7}, {1, 1}, {3, 16}}) {
    const int size = edges * ops;
    const std::uint32_t step = 77;
    const auto on_cpu = draw_and_differentiate(
        edges, ops, [&, edges = edges, ops = ops](auto alpha, auto mask, auto dtheta) {
          std::vector<double> out(5 * size);
          double *beta = out.data(), *theta = beta + size, *d = theta + size, *raw = d + size,
                 *dalpha = raw + size;
          kernels::dirichlet_sample<Device::cpu>(
              {alpha.data(), mask.data(), beta, theta, d, raw, edges, ops, 9, &step}, nullptr);
          kernels::dirichlet_backward<Device::cpu>(
              {dtheta.data(), alpha.data(), mask.data(), beta, theta, d, raw, dalpha, edges, ops},
              nullptr);
          return out;
        });
    const auto on_device = in_every_order([&, edges = edges, ops = ops] {
      return draw_and_differentiate(edges, ops, [&](auto alpha, auto mask, auto dtheta) {
        const DeviceArray<double> a(alpha), g(dtheta), out(5 * size);
        const DeviceArray<std::uint8_t> m(mask);
        const DeviceArray<std::uint32_t> s(std::vector<std::uint32_t>{step});
        double *beta = out, *theta = beta + size, *d = theta + size, *raw = d + size,
               *dalpha = raw + size;
        kernels::dirichlet_sample<Device::cuda>({a, m, beta, theta, d, raw, edges, ops, 9, s},
                                                nullptr);
        kernels::dirichlet_backward<Device::cuda>(
            {g, a, m, beta, theta, d, raw, dalpha, edges, ops}, nullptr);
        return out.read();
      });
    });
    CHECK(relative_error(on_device, on_cpu) < 1e-12);
  }
}
