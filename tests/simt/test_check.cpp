// SPDX-License-Identifier: MIT
// Does the checker find what is planted for it, and nothing where nothing is?
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "check/watch.h"
#include "executor.h"
#include "tests/simt/planted_kernels.h"

#ifdef DRNAS_SIMT_CHECK

using drnas::test::Planted;

namespace {

std::vector<std::string> findings(Planted planted) {
  drnas::test::run_planted(planted);
  simt::check_device_memory();
  return simt::take_faults();
}

}  // namespace

TEST_CASE("check: sound kernels have no finding, in any order of threads and blocks") {
  for (const simt::Order order : {simt::Order{0, 0}, {1, 1}, {2, 0}, {3, 2}}) {
    simt::set_order(order);
    for (const std::string& finding : findings(Planted::nothing)) FAIL_CHECK(finding);
  }
  simt::set_order({});
}

TEST_CASE("check: each planted fault is found and named") {
  struct Row {
    Planted planted;
    std::string kernel, kind;
  };
  const Row rows[] = {
      {Planted::no_barrier, "planted_kernels::exchange_kernel", "race, "},
      {Planted::no_barrier_before_write, "planted_kernels::exchange_kernel", "race, read by"},
      {Planted::one_place, "planted_kernels::exchange_kernel", "race, written by"},
      {Planted::shuffle_as_barrier, "planted_kernels::warp_kernel", "race, "},
      {Planted::no_writers_fence, "planted_kernels::last_block_kernel", "race, written by"},
      {Planted::no_barrier_before_atomic, "planted_kernels::last_block_kernel", "race, written by"},
      {Planted::no_readers_fence, "planted_kernels::last_block_kernel", "race, written by"},
      {Planted::plain_read_of_counter, "planted_kernels::counter_kernel", "race, written by"},
      {Planted::barriers_apart, "", "waits at different barriers"},
      {Planted::read_after_end, "planted_kernels::place_kernel", "outside its array"},
      {Planted::read_before_start, "planted_kernels::place_kernel", "outside its array"},
      {Planted::write_after_end, "planted_kernels::place_kernel", "outside its array"},
      {Planted::read_never_written, "planted_kernels::place_kernel", "never written"},
      {Planted::shared_never_written, "planted_kernels::place_kernel", "never written"},
      {Planted::shared_after_end, "planted_kernels::place_kernel", "outside its array"},
      {Planted::host_memory, "planted_kernels::place_kernel", "memory of the host"},
      {Planted::misaligned, "planted_kernels::place_kernel", "not aligned"},
      {Planted::lost_lane_of_product, "", "cannot go on"},
      {Planted::operand_not_rounded, "", "TF32 operand"},
      {Planted::matrix_row_not_aligned, "planted_kernels::product_kernel", "not aligned"},
      {Planted::no_wait_for_copy, "planted_kernels::copy_kernel", "never written"},
      {Planted::no_barrier_after_wait, "planted_kernels::copy_kernel", "race, written by"},
      {Planted::no_barrier_before_copy, "planted_kernels::copy_kernel", "race, read by"},
      {Planted::copies_left, "", "copies that no thread waited for"},
  };
  for (const Row& row : rows) {
    const auto found = findings(row.planted);
    CAPTURE(row.kernel);
    CAPTURE(row.kind);
    REQUIRE_FALSE(found.empty());
    std::string all;
    for (const std::string& finding : found) all += finding + "\n";
    CAPTURE(all);
    CHECK(std::any_of(found.begin(), found.end(), [&](const std::string& finding) {
      return finding.starts_with(row.kernel) && finding.find(row.kind) != finding.npos;
    }));
    if (!row.kernel.empty())
      CHECK(std::all_of(found.begin(), found.end(), [&](const std::string& finding) {
        return finding.starts_with(row.kernel) || finding.find("outside") != finding.npos;
      }));
  }
}

#endif
