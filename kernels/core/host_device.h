// SPDX-License-Identifier: MIT
#pragma once

/// Marks functions that both the CPU twins and the CUDA kernels call.
#ifdef __CUDACC__
#define DRNAS_HD __host__ __device__
#else
#define DRNAS_HD
#endif
