// SPDX-License-Identifier: MIT
// The build passes DRNAS_VERSION, DRNAS_GIT_COMMIT and, with CUDA, DRNAS_CUDA_VERSION and
// DRNAS_CUDNN_VERSION (strings).
#include "engine/version.h"

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

const char* cuda_version() {
#ifdef DRNAS_CUDA_VERSION
  return DRNAS_CUDA_VERSION;
#else
  return "";
#endif
}

const char* cudnn_version() {
#ifdef DRNAS_CUDNN_VERSION
  return DRNAS_CUDNN_VERSION;
#else
  return "";
#endif
}

std::string cuda_versions() {
  const std::string cuda = cuda_version();
  if (cuda.empty()) return "without CUDA";
  const std::string cudnn = cudnn_version();
  return "CUDA " + cuda + (cudnn.empty() ? ", without cuDNN" : ", cuDNN " + cudnn);
}

}  // namespace drnas
