// SPDX-License-Identifier: MIT
// Does the meter count what a GPU would move? Kernels whose requests can be counted by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "check/meter.h"
#include "tests/simt/metered_kernels.h"

#ifdef DRNAS_SIMT_CHECK

using simt::check::KernelCount;
using simt::check::meter;

namespace {

template <class Body>
KernelCount counted(const char* kernel, const Body& body) {
  meter().start();
  body();
  const auto counts = meter().stop();
  const std::string name = std::string("metered_kernels::") + kernel;
  REQUIRE(counts.contains(name));
  return counts.at(name);
}

}  // namespace

TEST_CASE("meter: sectors of copies with a stride") {
  // 4 warps a block, 2 blocks; element i * stride. A warp reads 32 floats: 4 sectors at best.
  for (const int stride : {1, 2, 4, 8, 16}) {
    const KernelCount c =
        counted("strided_copy_kernel", [&] { drnas::test::strided_copy(stride, 2, 128); });
    CAPTURE(stride);
    CHECK(c.launches == 1);
    CHECK(c.blocks == 2);
    CHECK(c.threads == 256);
    CHECK(c.read.requests == 8);
    CHECK(c.read.moved == 8 * std::min(4 * stride, 32));
    CHECK(c.read.least == 8 * 4);
    CHECK(c.bytes_read == 256 * 4);
    CHECK(c.write.requests == 8);
    CHECK(c.write.moved == 8 * 4);
    CHECK(c.bytes_written == 256 * 4);
  }
}

TEST_CASE("meter: vectors are one request, a value for all lanes is one sector") {
  const KernelCount vectors = counted("vector_copy_kernel", [] { drnas::test::vector_copy(64); });
  CHECK(vectors.read.requests == 2);
  CHECK(vectors.read.moved == 2 * 16);
  CHECK(vectors.read.efficiency() == 1.0);
  CHECK(vectors.write.requests == 2);
  const KernelCount uniform = counted("uniform_read_kernel", [] { drnas::test::uniform_read(64); });
  CHECK(uniform.read.requests == 2);
  CHECK(uniform.read.moved == 2);
  CHECK(uniform.read.least == 2);
  CHECK(uniform.bytes_read == 4);
}

TEST_CASE("meter: bytes that a launch reads twice count once") {
  const KernelCount c = counted("twice_kernel", [] { drnas::test::read_twice(64); });
  CHECK(c.read.requests == 4);
  CHECK(c.bytes_read == 64 * 4);
}

TEST_CASE("meter: lanes that part are requests of their own") {
  // Even lanes read here, odd ones there; all then read together.
  const KernelCount c = counted("branch_kernel", [] { drnas::test::read_in_branches(32); });
  CHECK(c.read.requests == 3);
}

TEST_CASE("meter: bank conflicts of shared memory") {
  // Word t * stride: `stride` ways for powers of two, none for odd ones.
  for (const auto& [stride, ways] : {std::pair{1, 1}, {2, 2}, {3, 1}, {8, 8}, {32, 32}, {33, 1}}) {
    const int step = stride;
    const KernelCount c = counted("bank_kernel", [&] { drnas::test::read_banks(step); });
    CAPTURE(step);
    CHECK(c.shared_read.requests == 1);
    CHECK(c.shared_read.moved == ways);
    CHECK(c.shared_read.worst == ways);
    CHECK(c.shared_read.least == 1);
  }
  // 16 bytes a lane, side by side: a quarter of the warp at once.
  const KernelCount wide = counted("wide_bank_kernel", [] { drnas::test::read_wide_banks(1); });
  CHECK(wide.shared_read.moved == 4);
  CHECK(wide.shared_read.least == 4);
  // With as much between them: two ways.
  const KernelCount apart = counted("wide_bank_kernel", [] { drnas::test::read_wide_banks(2); });
  CHECK(apart.shared_read.moved == 8);
  CHECK(apart.shared_read.worst == 2);
}

#endif
