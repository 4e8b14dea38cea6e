// SPDX-License-Identifier: MIT
// Augmentation: the CUDA kernel has the bits of the CPU twin.
#include "kernels/random/philox.h"
#include "kernels/train/augment.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Augment;

namespace {

constexpr int images = 7, rows = 3;

enum class Labels { wanted, no_output, no_classes };

struct Case {
  int size, padding;
  bool flip;
  int cutout, batch;
  std::uint32_t step;
  Labels labels;
  bool first_row;
  int skipped = 0;  // floats before the output, which takes its alignment
};

/// Host arrays of a case, and the parameters without their pointers.
struct Problem {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> indices, classes;
  std::vector<std::uint32_t> steps;  // this one and the first
  std::size_t floats;
  Augment p{};

  Problem(const Case& c, std::mt19937& engine) {
    const std::size_t elements = std::size_t(c.size) * c.size * 3;
    pixels.resize(images * elements);
    for (std::uint8_t& v : pixels) v = static_cast<std::uint8_t>(engine());
    for (int i = 0; i < rows * c.batch; ++i)
      indices.push_back(static_cast<std::int32_t>(engine() % images));
    for (int i = 0; i < images; ++i) classes.push_back(static_cast<std::int32_t>(engine() % 1000));
    steps = {c.step, c.step - (rows - 1)};
    floats = c.skipped + c.batch * elements;
    p.batch = c.batch;
    p.size = c.size;
    p.padding = c.padding;
    p.flip = c.flip;
    p.cutout = c.cutout;
    const float mean[3] = {0.49f, 0.48f, 0.45f}, deviation[3] = {0.247f, 0.243f, 0.262f};
    std::copy(mean, mean + 3, p.mean);
    std::copy(deviation, deviation + 3, p.deviation);
    p.seed = 0x123456789abcdefULL + engine();
    p.purpose = static_cast<std::uint32_t>(kernels::Purpose::augment);
  }

  template <Device D>
  void run(const Case& c, const std::uint8_t* from, const std::int32_t* chosen,
           const std::int32_t* all_classes, const std::uint32_t* step, float* out,
           std::int32_t* labels) const {
    Augment a = p;
    a.pixels = from;
    a.indices = chosen;
    a.classes = c.labels == Labels::no_classes ? nullptr : all_classes;
    a.step = step;
    a.first_step = c.first_row ? step + 1 : nullptr;
    a.out = out + c.skipped;
    const bool wanted = c.labels == Labels::wanted;
    a.labels = wanted || (D == Device::cuda && c.labels == Labels::no_classes) ? labels : nullptr;
    kernels::augment<D>(a, nullptr);
  }
};

/// Output and labels, one after the other.
std::vector<float> joined(std::vector<float> out, const std::vector<std::int32_t>& labels) {
  for (const std::int32_t label : labels) out.push_back(static_cast<float>(label));
  return out;
}

void compare(const Case& c, std::mt19937& engine) {
  CAPTURE(c.size);
  CAPTURE(c.cutout);
  CAPTURE(c.batch);
  const Problem problem(c, engine);
  std::vector<float> out(problem.floats, -77);
  std::vector<std::int32_t> labels(c.batch, -5);
  problem.run<Device::cpu>(c, problem.pixels.data(), problem.indices.data(), problem.classes.data(),
                           problem.steps.data(), out.data(), labels.data());
  const auto got = in_every_order([&] {
    const DeviceArray<std::uint8_t> pixels(problem.pixels);
    const DeviceArray<std::int32_t> indices(problem.indices), classes(problem.classes),
        device_labels(std::vector<std::int32_t>(c.batch, -5));
    const DeviceArray<std::uint32_t> steps(problem.steps);
    const DeviceArray<float> device_out(std::vector<float>(problem.floats, -77));
    problem.run<Device::cuda>(c, pixels, indices, classes, steps, device_out, device_labels);
    return joined(device_out.read(), device_labels.read());
  });
  CHECK(same_bits(got, joined(out, labels)));
}

}  // namespace

TEST_CASE("cuda: augment has the bits of the CPU's") {
  auto engine = random_engine(51);
  const Labels wanted = Labels::wanted;
  for (const Case& c :
       {Case{32, 4, true, 16, 13, 3, wanted, true}, Case{32, 0, false, 0, 5, 9, wanted, false},
        Case{32, 4, true, 0, 64, 0xffffffffu, Labels::no_output, true},
        Case{16, 2, true, 5, 7, 2, Labels::no_classes, true},
        Case{32, 4, true, 8, 3, 1, wanted, true, 1},  // the first step is 2^32 - 1
        Case{20, 4, false, 1, 11, 40, wanted, true}, Case{7, 9, true, 7, 6, 5, wanted, true},
        Case{33, 0, true, 40, 3, 6, wanted, false}, Case{2, 1, true, 1, 9, 7, wanted, true},
        Case{1, 0, true, 0, 8, 8, wanted, true}, Case{6, 2, true, 3, 1, 4, wanted, true},
        Case{10, 2, true, 3, 17, 4, wanted, true}, Case{64, 8, true, 16, 5, 3, wanted, true},
        Case{46, 5, true, 9, 4, 12, wanted, true}, Case{47, 40, true, 9, 4, 12, wanted, true},
        Case{690, 86, true, 100, 1, 5, wanted, true}})
    compare(c, engine);
}
