// SPDX-License-Identifier: MIT
// NaNs and infinities at random places of the inputs of every kernel family: CUDA sources and CPU
// twins agree on which results are not finite.
#include <algorithm>
#include <cmath>

#include "bench/kernel_benchmarks.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// One value of one input, which is not finite.
struct Fault {
  std::size_t array, at;
  double value;

  Spoil spoil() const {
    return [*this, count = std::size_t{0}](Doubles& values) mutable {
      if (count++ == array) values.at(at) = value;
    };
  }
};

/// Sizes of a call's real inputs.
template <class Place>
std::vector<std::size_t> inputs_of(const Place& place) {
  std::vector<std::size_t> sizes;
  Buffers<Device::cpu> buffers(nullptr, [&](Doubles& values) { sizes.push_back(values.size()); });
  place(buffers);
  return sizes;
}

Fault random_fault(Rng& rng, const std::vector<std::size_t>& sizes) {
  static const double values[] = {NAN, INFINITY, -INFINITY};
  const std::size_t array = rng() % sizes.size();
  return {array, rng() % sizes[array], values[rng() % 3]};
}

/// Places of values that are not finite.
std::vector<std::size_t> not_finite(const Doubles& values) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i])) places.push_back(i);
  return places;
}

/// How far a fault reaches on the device.
enum class Reach {
  same,    ///< as on the CPU
  more,    ///< also where a spoiled weight meets the zeros beside a plane, which the CPU leaves out
  method,  ///< as each side's method has it: Winograd's mixes neighbours, gradients of filters meet
           ///< zeros beside a plane and between outputs on either side
};
Reach reach_of(const std::string& family, const std::string& call) {
  if (family == "conv_bundle" || family == "conv2d") return Reach::method;
  if (family != "separable") return Reach::same;
  return call.starts_with("backward") ? Reach::method : Reach::more;
}

void compare(Reach reach, const Results& cpu, const Results& device) {
  for (const auto& [name, values] : cpu) {
    CAPTURE(name);
    const auto here = not_finite(values), there = not_finite(device.at(name));
    CHECK(here.empty() == there.empty());
    if (reach == Reach::same) CHECK(here == there);
    if (reach == Reach::more)
      CHECK(std::includes(there.begin(), there.end(), here.begin(), here.end()));
  }
}

/// `add` fills the lists of calls on both sides.
template <class Add>
void check(const Add& add) {
  auto rng = generator(90);
  bench::KernelBenchmarks<Device::cpu> host;
  bench::KernelBenchmarks<Device::cuda> device;
  add(host);
  add(device);
  REQUIRE(host.all.size() == device.all.size());
  for (std::size_t i = 0; i < host.all.size(); ++i) {
    const std::string &family = host.all[i].family, &call = host.all[i].call;
    CAPTURE(family);
    CAPTURE(call);
    const auto on_host = host.all[i].make();
    const auto on_device = device.all[i].make();
    const std::vector<std::size_t> sizes = inputs_of(on_host);
    for (int trial = 0; trial < 40 && !sizes.empty(); ++trial) {
      const Fault fault = random_fault(rng, sizes);
      CAPTURE(fault.array);
      CAPTURE(fault.at);
      CAPTURE(fault.value);
      compare(reach_of(family, call), run_call<Device::cpu>(on_host, nullptr, fault.spoil()),
              run_call<Device::cuda>(on_device, nullptr, fault.spoil()));
    }
  }
  check_faults();
}

}  // namespace

TEST_CASE("cuda: what is not finite, in bundles, mixes and layers") {
  check([](auto& list) {
    bench::add_bundle_families(list, {2, 8, 5, 1});
    bench::add_bundle_families(list, {2, 16, 4, 4});
    bench::add_layer_families(list, {2, 16, 6});
  });
}

TEST_CASE("cuda: what is not finite, in filters of planes") {
  check([](auto& list) {
    bench::add_separable(list, {1, 6, 5, 2}, 1);
    bench::add_separable(list, {1, 6, 6, 2}, 2);
    bench::add_conv1x1(list, {2, 6, 5}, 2, 1);
    bench::add_conv1x1(list, {2, 6, 6}, 2, 2);
  });
}

TEST_CASE("cuda: what is not finite, in mixes, pools and norms of planes") {
  check([](auto& list) {
    bench::add_plane_mix(list, {2, 12, 4, 3});
    bench::add_plane_families(list, {2, 12, 5, 3});
  });
}

TEST_CASE("cuda: what is not finite, in tables of mixing weights, losses and optimisers") {
  check([](auto& list) {
    bench::add_alpha_families(list, {1, 6, 5});
    bench::add_train_families(list, {2, 16, 5}, 300);
  });
}
