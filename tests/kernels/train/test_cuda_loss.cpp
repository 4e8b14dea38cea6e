// SPDX-License-Identifier: MIT
// Cross entropy: the CUDA kernels against the CPU twins.
#include <algorithm>

#include "kernels/train/cross_entropy.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;
using kernels::CrossEntropy;
using kernels::CrossEntropyResult;

namespace {

struct Batch {
  CrossEntropy p;
  std::vector<float> logits;
  std::vector<std::int32_t> labels;
  float scale;
};

struct Outcome {
  CrossEntropyResult result;
  float loss;
  std::vector<float> dlogits;
};

/// Logits on a coarse grid, so that many of them tie.
Batch random_batch(std::mt19937& engine, int n, int classes, float smoothing, float spread) {
  Batch b{{n, classes, smoothing}, normals(engine, std::size_t(n) * classes), {}, 0.75f};
  for (float& v : b.logits) v = std::round(4 * v) / 4 * spread;
  for (int i = 0; i < n; ++i) b.labels.push_back(static_cast<std::int32_t>(engine() % classes));
  return b;
}

Outcome on_cpu(const Batch& b) {
  Outcome o{{}, 0, std::vector<float>(b.logits.size())};
  kernels::cross_entropy_forward<Device::cpu>(b.p, b.logits.data(), b.labels.data(), &o.result,
                                              &o.loss, nullptr);
  kernels::cross_entropy_backward<Device::cpu>(b.p, b.logits.data(), b.labels.data(), &b.scale,
                                               o.dlogits.data(), nullptr);
  return o;
}

Outcome on_device(const Batch& b) {
  const auto words = in_every_order([&] {
    const DeviceArray<float> logits(b.logits), scale(std::vector<float>{b.scale}), loss(1),
        dlogits(b.logits.size());
    const DeviceArray<std::int32_t> labels(b.labels);
    const DeviceArray<CrossEntropyResult> result(1);
    kernels::cross_entropy_forward<Device::cuda>(b.p, logits, labels, result, loss, nullptr);
    kernels::cross_entropy_backward<Device::cuda>(b.p, logits, labels, scale, dlogits, nullptr);
    const CrossEntropyResult r = result.read()[0];
    std::vector<double> all{r.loss, double(r.top1), double(r.top5), loss.read()[0]};
    for (const float g : dlogits.read()) all.push_back(g);
    return all;
  });
  return {{words[0], static_cast<std::int32_t>(words[1]), static_cast<std::int32_t>(words[2])},
          static_cast<float>(words[3]),
          std::vector<float>(words.begin() + 4, words.end())};
}

void compare(const Batch& b) {
  CAPTURE(b.p.n);
  CAPTURE(b.p.classes);
  const Outcome cpu = on_cpu(b), device = on_device(b);
  double largest = 1;
  for (const float v : b.logits) largest = std::max(largest, std::abs(double(v)));
  CHECK(std::isfinite(device.result.loss));
  CHECK(std::abs(device.result.loss - cpu.result.loss) <=
        1e-12 * std::abs(cpu.result.loss) + 4 * 0x1p-52 * largest);
  CHECK(device.loss == static_cast<float>(device.result.loss));
  CHECK(device.result.top1 == cpu.result.top1);
  CHECK(device.result.top5 == cpu.result.top5);
  // Two roundings to float32, and what float64 loses in the exponent and in share - target.
  const double absolute = b.scale / b.p.n * 8 * 0x1p-52 * largest;
  double worst = 0;
  for (std::size_t i = 0; i < cpu.dlogits.size(); ++i) {
    const double expected = cpu.dlogits[i];
    const double error =
        std::abs(device.dlogits[i] - expected) / (0x1p-22 * std::abs(expected) + absolute);
    if (!(error <= worst)) worst = error;
  }
  CHECK(worst <= 1);
}

}  // namespace

TEST_CASE("cuda: cross entropy agrees with the CPU's") {
  auto engine = random_engine(31);
  const std::pair<int, int> shapes[] = {{1, 1},  {1, 10},  {5, 2},   {64, 10},
                                        {33, 3}, {67, 31}, {40, 33}, {7, 100}};
  for (const auto& [n, classes] : shapes)
    for (const float smoothing : {0.0f, 0.1f})
      compare(random_batch(engine, n, classes, smoothing, 2));
}

TEST_CASE("cuda: cross entropy of large logits is finite, equal logits rank by index") {
  auto engine = random_engine(32);
  compare(random_batch(engine, 37, 10, 0.1f, 1e4f));
  Batch b{{12, 12, 0}, std::vector<float>(12 * 12, 3), {}, 1};
  for (int i = 0; i < 12; ++i) b.labels.push_back(i);
  compare(b);
  CHECK(on_device(b).result.top1 == 1);
  CHECK(on_device(b).result.top5 == 5);
}
