// SPDX-License-Identifier: MIT
// Arrays and planes of a call in host or device memory, each with bounds of its own.
#pragma once

#include <functional>
#include <memory>

#include "kernels/planes/planes.h"
#include "tests/cuda/harness.h"
#include "tests/kernels/planes/plane_reference.h"

namespace drnas::test {

/// Keeps what a call on D reads and writes, and reads it back. `spoil` shifts planes and their
/// strides, so that vectors do not fit.
template <Device D>
class PlaneArrays {
 public:
  explicit PlaneArrays(int spoil = 0) : spoil_(spoil) {}

  /// Not inlined: g++ 12 would warn of a delete that no path reaches.
  template <class T>
  [[gnu::noinline]] T* keep(std::vector<T> values) {
    if (values.empty()) return nullptr;
    if constexpr (D == Device::cpu) {
      auto array = std::make_shared<std::vector<T>>(std::move(values));
      arrays_.push_back(array);
      return array->data();
    } else {
      auto array = std::make_shared<DeviceArray<T>>(values);
      arrays_.push_back(array);
      return array->data();
    }
  }
  float* array(const Doubles& values) {
    return keep(std::vector<float>(values.begin(), values.end()));
  }
  void* bytes(std::size_t count) { return keep(std::vector<unsigned char>(count, 0xff)); }
  /// Planes of n images, NaN between them; results that results() reads come from outputs.
  kernels::Planes planes(int n, const Doubles& dense) {
    if (dense.empty()) return {};
    const std::int64_t size = static_cast<std::int64_t>(dense.size()) / n, stride = size + spoil_;
    std::vector<float> all(spoil_ + (n - 1) * stride + size, NAN);
    for (std::size_t i = 0; i < dense.size(); ++i)
      all[spoil_ + static_cast<std::int64_t>(i) / size * stride +
          static_cast<std::int64_t>(i) % size] = static_cast<float>(dense[i]);
    return {keep(std::move(all)) + spoil_, stride};
  }
  kernels::ConstPlanes input(int n, const Doubles& dense) {
    const kernels::Planes p = planes(n, dense);
    return {p.data, p.stride};
  }
  kernels::Planes output(int n, const Doubles& start) {
    const kernels::Planes out = planes(n, start);
    if (!out.data) return out;
    const std::int64_t size = static_cast<std::int64_t>(start.size()) / n;
    readers_.push_back([=, this](Doubles& to) {
      const std::vector<float> all = copy(out.data - spoil_, spoil_ + (n - 1) * out.stride + size);
      for (std::int64_t i = 0; i < n * size; ++i)
        to.push_back(all[spoil_ + i / size * out.stride + i % size]);
      int between = 0;
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(all.size()); ++i)
        between += (i < spoil_ || (i - spoil_) % out.stride >= size) && !std::isnan(all[i]);
      CHECK_MESSAGE(between == 0, "a number was written between images");
    });
    return out;
  }
  template <class T>
  T* output(const std::vector<T>& start) {
    T* out = keep(start);
    const std::size_t count = start.size();
    readers_.push_back([=, this](Doubles& to) {
      for (const T value : copy(out, count)) to.push_back(static_cast<double>(value));
    });
    return out;
  }
  /// All outputs, one after the other.
  Doubles results() const {
    Doubles all;
    for (const auto& read : readers_) read(all);
    return all;
  }

 private:
  template <class T>
  std::vector<T> copy(const T* from, std::size_t count) const {
    if constexpr (D == Device::cpu) {
      return std::vector<T>(from, from + count);
    } else {
      std::vector<T> values(count);
      kernels::require_cuda(cudaDeviceSynchronize(), "finish");
      kernels::require_cuda(
          cudaMemcpy(values.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost), "copy");
      return values;
    }
  }

  int spoil_;
  std::vector<std::shared_ptr<void>> arrays_;
  std::vector<std::function<void(Doubles&)>> readers_;
};

/// Where the cases of tests/plane_*_reference.h put their inputs.
template <Device D>
struct ArrayInputs {
  PlaneArrays<D>& arrays;

  kernels::ConstPlanes planes(int n, const Doubles& dense) { return arrays.input(n, dense); }
  float* array(const Doubles& values) { return arrays.array(values); }
};

/// Statistics among the results: mean, inv_std, running mean, running variance.
template <Device D>
kernels::PlaneStatistics output_statistics(PlaneArrays<D>& a, int c) {
  const std::vector<float> empty(c, NAN);
  float* mean = a.output(empty);
  float* inv_std = a.output(empty);
  float* running_mean = a.output(std::vector<float>(c, 0.5f));
  return {mean, inv_std, running_mean, a.output(std::vector<float>(c, 2.0f))};
}

/// Hands out consecutive parts of results.
class Parts {
 public:
  explicit Parts(Doubles all) : all_(std::move(all)) {}
  Doubles take(std::int64_t count) {
    const auto from = all_.begin() + at_;
    at_ += count;
    return Doubles(from, from + count);
  }

 private:
  Doubles all_;
  std::int64_t at_ = 0;
};

inline void check_statistics(const PlaneShape& s, const Doubles& x, const kernels::NormMode& mode,
                             Parts& got) {
  const Doubles mean = got.take(s.c), inv_std = got.take(s.c), running = got.take(s.c);
  check_statistics(s, x, mode, StatisticsResults{mean, inv_std, running, got.take(s.c)});
}

/// call.template operator()<D>(arrays) on the device in every order, and on the CPU.
template <class Call>
Doubles on_device(int spoil, const Call& call) {
  return in_every_order([&] {
    PlaneArrays<Device::cuda> arrays(spoil);
    call.template operator()<Device::cuda>(arrays);
    return arrays.results();
  });
}
template <class Call>
Doubles on_cpu(const Call& call) {
  PlaneArrays<Device::cpu> arrays;
  call.template operator()<Device::cpu>(arrays);
  return arrays.results();
}

/// Roundings of a float32 sum in a thread and over a warp.
inline constexpr double device_sum_roundings = 40;

inline Doubles nans(std::int64_t count) { return Doubles(static_cast<std::size_t>(count), NAN); }

}  // namespace drnas::test
