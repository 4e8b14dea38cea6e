// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/device_timer.h"

namespace drnas::bench {

/// What the figures belong to: name, compute capability, sizes, CUDA versions.
nlohmann::ordered_json describe_card();
/// Copy bandwidth (bytes read and written a second), matrix rate and time of a launch in a graph.
nlohmann::ordered_json measure_card(const DeviceTimer& timer);

/// One kernel family, call and shape.
struct KernelTime {
  std::string family, direction;
  int channels, size, parts;  ///< of a node; its side in pixels; K (see kernel_benchmarks.h)
  double milliseconds;
  double flops, bytes;  ///< of one call: what the kernel must compute, read and write
};
/// Every kernel family at the shapes of bench_kernels. Calls go round copies of all arrays that
/// together are several times larger than the second-level cache, where arrays are not small.
std::vector<KernelTime> time_kernels(const DeviceTimer& timer, int batch);

}  // namespace drnas::bench
