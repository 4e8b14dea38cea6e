// SPDX-License-Identifier: MIT
#pragma once

#ifdef DRNAS_NVTX
#include <nvtx3/nvToolsExt.h>
#endif

namespace drnas {

/// A named span of host time in a profiler's timeline (NVTX), where the build has DRNAS_NVTX; else
/// nothing.
class NamedRange {
 public:
#ifdef DRNAS_NVTX
  explicit NamedRange(const char* name) { nvtxRangePushA(name); }
  ~NamedRange() { nvtxRangePop(); }
#else
  explicit NamedRange(const char*) {}
  ~NamedRange() {}
#endif
  NamedRange(const NamedRange&) = delete;
  NamedRange& operator=(const NamedRange&) = delete;
};

}  // namespace drnas
