// SPDX-License-Identifier: MIT
// How far loops of kernels are unrolled, for .cu files; the host compiler decides for itself.
#pragma once

/// Before a loop over an array that must stay in registers: else it would lie in memory.
/// DRNAS_UNROLL_4: loads of some passes go ahead of their sums, but more would take too many
/// registers. DRNAS_ROLLED: even two would.
#ifdef __CUDACC__
#define DRNAS_UNROLL _Pragma("unroll")
#define DRNAS_UNROLL_4 _Pragma("unroll 4")
#define DRNAS_ROLLED _Pragma("unroll 1")
#else
#define DRNAS_UNROLL
#define DRNAS_UNROLL_4
#define DRNAS_ROLLED
#endif
