// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "kernels/core/device.h"

namespace drnas {

/// Work of a device that is recorded once and replayed from then on. The first run does the work
/// as it is called (which builds the plans of vendor libraries and reserves memory), the second
/// records a CUDA graph, and all later ones launch it, at one call to the driver. On the CPU, and
/// when capturing is off, every run calls the work.
///
/// The work must always be the same: same shapes, same addresses; what changes is read from device
/// memory. It neither waits for the device nor reads results. Its temporary tensors live in
/// reservations that only captured steps use and that go back to the system with the last of them.
class CapturedStep {
 public:
  explicit CapturedStep(Device device = Device::cpu, bool capture = true);
  ~CapturedStep();
  CapturedStep(CapturedStep&&) noexcept;
  CapturedStep& operator=(CapturedStep&&) noexcept;

  void run(const std::function<void()>& work);
  /// Launches, copies and fills of one recorded run; 0 before there is a record.
  std::size_t nodes() const;

 private:
  struct Graph;
  struct MemoryUse;
  Device device_;
  bool capture_;
  bool warm_ = false;                  // one run has ended well
  std::unique_ptr<MemoryUse> memory_;  // outlives the graph
  std::unique_ptr<Graph> graph_;
};

}  // namespace drnas
