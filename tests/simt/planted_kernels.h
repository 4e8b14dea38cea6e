// SPDX-License-Identifier: MIT
// Kernels with one fault each, of the kinds that the checker is there to find.
#pragma once

#include <memory>

#include "tests/cuda/device_array.h"

namespace drnas::test {

enum class Planted {
  nothing,
  no_barrier,
  no_barrier_before_write,
  one_place,
  shuffle_as_barrier,
  no_writers_fence,
  no_barrier_before_atomic,
  no_readers_fence,
  plain_read_of_counter,
  barriers_apart,
  read_after_end,
  read_before_start,
  write_after_end,
  read_never_written,
  shared_never_written,
  shared_after_end,
  host_memory,
  misaligned,
  lost_lane_of_product,
  operand_not_rounded,
  matrix_row_not_aligned,
  no_wait_for_copy,
  no_barrier_after_wait,
  no_barrier_before_copy,
  copies_left,
};

/// Runs all of the kernels, one with the fault.
void run_planted(Planted planted);

}  // namespace drnas::test
