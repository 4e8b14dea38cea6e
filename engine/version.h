// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace drnas {

/// "0.1.0".
const char* version();
/// Commit of the source, "unknown" outside a git checkout.
const char* git_commit();
/// Name and version of the compiler.
std::string compiler();
/// "12.8" and "9.7" of the build; empty without CUDA, the second without cuDNN too.
const char* cuda_version();
const char* cudnn_version();
/// "CUDA 12.8, cuDNN 9.7" of the build, "CUDA 12.8, without cuDNN", or "without CUDA".
std::string cuda_versions();

}  // namespace drnas
