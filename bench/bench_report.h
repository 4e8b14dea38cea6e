// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/device_batch.h"
#include "engine/allocator.h"
#include "kernels/philox_fill.h"

namespace drnas::bench {

/// What the reports of bench_step and bench_train have in common.

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Median, min and max of the steps' times, and the medians of their phases. `Step` has total_ms,
/// forward_ms, backward_ms and optimizer_ms.
template <class Step>
nlohmann::ordered_json summary(const std::vector<Step>& steps) {
  const auto values = [&](double Step::*member) {
    std::vector<double> all;
    for (const Step& s : steps) all.push_back(s.*member);
    return all;
  };
  const std::vector<double> total = values(&Step::total_ms);
  return {{"median", median(total)},
          {"min", *std::min_element(total.begin(), total.end())},
          {"max", *std::max_element(total.begin(), total.end())},
          {"phases",
           {{"forward", median(values(&Step::forward_ms))},
            {"backward", median(values(&Step::backward_ms))},
            {"optimizer", median(values(&Step::optimizer_ms))}}}};
}

/// Images of N(0, 1) with ten classes in turn.
inline DeviceBatch random_batch(int count, int image_size, Device device) {
  std::vector<float> images(static_cast<std::size_t>(count) * image_size * image_size * 3);
  kernels::fill_normal<Device::cpu>(images.data(), static_cast<std::int64_t>(images.size()), 0, 1,
                                    1, kernels::Purpose::synthetic, 0, nullptr);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) labels[static_cast<std::size_t>(i)] = i % 10;
  return {images, labels, image_size, device};
}

/// The peak in all and by tag.
inline nlohmann::ordered_json memory_of(const MemoryCounters& counters) {
  nlohmann::ordered_json by_tag;
  for (int t = 0; t < memory_tag_count; ++t)
    by_tag[to_string(static_cast<MemoryTag>(t))] = counters.by_tag_at_peak[t];
  return {{"total", counters.peak}, {"by_tag", by_tag}};
}

}  // namespace drnas::bench
