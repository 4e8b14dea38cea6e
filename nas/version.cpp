// SPDX-License-Identifier: MIT
// The build passes DRNAS_VERSION, DRNAS_GIT_COMMIT and, with CUDA, DRNAS_CUDA_VERSION and
// DRNAS_CUDNN_VERSION (strings).
#include "nas/version.h"

namespace drnas {

const char* version() {
#ifdef DRNAS_VERSION
  return DRNAS_VERSION;
#else
  return "unversioned";
#endif
}

const char* git_commit() {
#ifdef DRNAS_GIT_COMMIT
  return DRNAS_GIT_COMMIT;
#else
  return "unknown";
#endif
}

std::string compiler() {
#ifdef __clang__
  return std::string("clang ") + __clang_version__;
#else
  return std::string("gcc ") + __VERSION__;
#endif
}

std::string cuda_versions() {
#ifdef DRNAS_CUDA_VERSION
  return std::string("CUDA ") + DRNAS_CUDA_VERSION + ", cuDNN " + DRNAS_CUDNN_VERSION;
#else
  return "without CUDA";
#endif
}

}  // namespace drnas
