// SPDX-License-Identifier: MIT
// Runs the calls that the cases of tests/cases place.
#pragma once

#include <doctest/doctest.h>

#include "tests/cases/buffers.h"

namespace drnas::test {

/// `place(buffers)` gives the call; checks that it wrote to its outputs only.
template <Device D, class Place>
Results run_call(const Place& place, const Layouts& layouts = nullptr,
                 const Spoil& spoil = nullptr) {
  Buffers<D> buffers(layouts, spoil);
  place(buffers).run(nullptr);
  for (const bool intact : buffers.intact())
    CHECK_MESSAGE(intact, "something was written beside a buffer or between images");
  return buffers.results();
}

/// On the CPU.
struct OnCpu {
  /// Roundings of a float32 sum over a plane: two chains of vectors of eight, then a tree.
  static constexpr double sum_roundings = 80;
  Layouts layouts = nullptr;

  const OnCpu& once() const { return *this; }
  static OnCpu any_layout(Rng& rng) { return {random_layouts(rng)}; }
  template <class Place>
  Results operator()(const Place& place) const {
    return run_call<Device::cpu>(place, layouts);
  }
};

}  // namespace drnas::test
