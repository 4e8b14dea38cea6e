// SPDX-License-Identifier: MIT
// Kernels whose requests of memory can be counted by hand; each function launches one.
#pragma once

namespace drnas::test {

/// Thread i copies element i * stride to element i.
void strided_copy(int stride, int blocks, int threads);
/// Each thread copies four neighbouring floats at once.
void vector_copy(int threads);
/// All threads read one value.
void uniform_read(int threads);
void read_twice(int threads);
/// Even and odd lanes read in different places of the code, then all in one.
void read_in_branches(int threads);
/// A warp reads word lane * stride of shared memory.
void read_banks(int stride);
/// The same with 16 bytes a lane, in units of 16 bytes.
void read_wide_banks(int stride);

}  // namespace drnas::test
