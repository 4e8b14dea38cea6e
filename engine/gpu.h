// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "kernels/core/device.h"

namespace drnas {

/// Empty where a GPU can be used, else one line that says why not: a build without CUDA, no driver,
/// a driver that is too old, no card, or one below compute capability 8.0.
std::string cuda_problem();
/// "NVIDIA H100, compute capability 9.0, 79.1 GiB, driver 12.8", or the problem.
std::string describe_gpu();

/// Are cuDNN and cuBLAS part of the build?
bool has_vendor_libraries();

/// The device that "cpu", "cuda" or "auto" stands for. "auto" takes the GPU where there is one, and
/// otherwise sets `note` to the line that says why the CPU is used. Throws Error where "cuda"
/// cannot be had.
Device choose_device(const std::string& name, std::string& note);

}  // namespace drnas
