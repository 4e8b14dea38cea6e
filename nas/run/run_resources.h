// SPDX-License-Identifier: MIT
#pragma once

#include <omp.h>

#include "engine/memory/allocator.h"
#include "kernels/core/error.h"

namespace drnas {

/// The threads and the memory budget of a run, put back at its end.
class RunResources {
 public:
  /// 0: as it is; no limit.
  RunResources(Device device, int threads, std::int64_t memory_limit)
      : allocator_(Allocator::of(device)),
        threads_(omp_get_max_threads()),
        budget_(allocator_.set_budget(memory_limit)) {
    if (threads > 0) omp_set_num_threads(threads);
    allocator_.reset_peak();
  }
  ~RunResources() {
    omp_set_num_threads(threads_);
    allocator_.set_budget(budget_);
  }
  RunResources(const RunResources&) = delete;
  RunResources& operator=(const RunResources&) = delete;

 private:
  Allocator& allocator_;
  int threads_;
  std::int64_t budget_;
};

}  // namespace drnas
