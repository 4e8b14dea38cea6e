// SPDX-License-Identifier: MIT
// DRNAS_SYNC: faults of kernels and vendor calls are reported in their own name.
#include <doctest/doctest.h>

#include "engine/captured_step.h"
#include "engine/stream.h"
#include "executor.h"
#include "kernels/core/launch.h"
#include "kernels/layers/conv2d.h"
#include "kernels/layers/linear.h"
#include "kernels/train/elementwise.h"
#include "tests/cuda/device_array.h"
#include "vendor_conv2d.h"

using namespace drnas;
using kernels::Stream;
using test::DeviceArray;

namespace {

struct Waiting {
  explicit Waiting(bool on) : before(std::exchange(kernels::waits_after_calls(), on)) {
    simt::vendor_convolutions().wants_workspace = false;
    kernels::set_conv_source(kernels::ConvSource::vendor);
  }
  ~Waiting() {
    kernels::waits_after_calls() = before;
    simt::vendor_convolutions().wants_workspace = true;
    kernels::set_conv_source(kernels::ConvSource::automatic);
  }
  bool before;
};

/// The error of three calls, of which the `faulty`-th faults, and of the wait after them.
std::string error_of(int faulty) {
  const DeviceArray<float> x(std::vector<float>(64, 1.0f)), y(64), z(64 * 8);
  const auto stream = static_cast<cudaStream_t>(compute_stream(Device::cuda));
  simt::fault_after(faulty);
  try {
    kernels::fill<Device::cuda>(64, 2.0f, y.data(), stream);
    kernels::linear_forward<Device::cuda>({8, 8, 8}, x.data(), y.data(), nullptr, z.data(), stream);
    kernels::conv2d_forward<Device::cuda>({1, 2, 2, 8, 8, 1, 1, 0}, x.data(), y.data(), z.data(),
                                          nullptr, stream);
    kernels::add<Device::cuda>(64, x.data(), y.data(), y.data(), stream);
    synchronize(Device::cuda);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("waiting calls: a fault is an error in the name of what faulted") {
  const Waiting waiting(true);
  CHECK(error_of(0) == "");
  CHECK(error_of(1) == "CUDA: fill: unspecified launch failure");
  CHECK(error_of(2) == "CUDA: linear_forward: unspecified launch failure");
  CHECK(error_of(3) ==
        "CUDA: conv2d forward, fp32, x [1, 2, 2, 8], weights [8, 1, 1, 8], stride 1, padding 0: "
        "unspecified launch failure");
  CHECK(error_of(4) == "CUDA: add: unspecified launch failure");
}

TEST_CASE("waiting calls: without them a later call reports the fault") {
  const Waiting waiting(false);
  CHECK(error_of(0) == "");
  for (int faulty = 1; faulty <= 4; ++faulty)
    CHECK(error_of(faulty) == "CUDA: finish the work of the device: unspecified launch failure");
}

TEST_CASE("waiting calls: nothing is recorded meanwhile") {
  for (const bool on : {true, false}) {
    const Waiting waiting(on);
    const Tensor value = Tensor::zeros({1, 1, 1, 4}, MemoryTag::data, Device::cuda);
    CapturedStep step(Device::cuda);
    for (int i = 0; i < 3; ++i) step.run([&] { value.clear(); });
    CHECK((step.nodes() == 0) == on);
  }
}

TEST_CASE("waiting calls: the variable DRNAS_SYNC") {
  using kernels::asks_to_wait;
  CHECK(!asks_to_wait(nullptr));
  CHECK(!asks_to_wait(""));
  CHECK(!asks_to_wait("0"));
  CHECK(asks_to_wait("1"));
}
