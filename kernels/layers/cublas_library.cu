// SPDX-License-Identifier: MIT
#include "kernels/layers/cublas_library.h"

#include <dlfcn.h>

#define DRNAS_QUOTE(word) #word
#define DRNAS_NAME(word) DRNAS_QUOTE(word)  // after expansion: cublasCreate is cublasCreate_v2

namespace drnas::kernels {
namespace {

constexpr std::size_t workspace_bytes = std::size_t{1} << 20;
// The version whose header this file was compiled with.
constexpr const char* library_name = "libcublas.so." DRNAS_NAME(CUBLAS_VER_MAJOR);

/// By name from where the system looks, else from where the build found it; null: from neither.
void* find_library() {
  for (const char* name : {library_name, DRNAS_CUBLAS_LIBRARY})
    if (void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

void* open_library() {
  if (void* library = find_library()) return library;
  throw Error(std::string("cannot open ") + library_name +
              ": install cuBLAS or add its folder to LD_LIBRARY_PATH");
}

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr)
    throw Error(std::string(library_name) + " lacks " + name + ", expected cuBLAS of CUDA " +
                DRNAS_NAME(CUBLAS_VER_MAJOR));
}

CublasFunctions open_functions() {
  void* const library = open_library();
  CublasFunctions functions;
  find(library, DRNAS_NAME(cublasCreate), functions.create);
  find(library, DRNAS_NAME(cublasGetStatusString), functions.status_text);
  find(library, DRNAS_NAME(cublasSetAtomicsMode), functions.set_atomics_mode);
  find(library, DRNAS_NAME(cublasSetMathMode), functions.set_math_mode);
  find(library, DRNAS_NAME(cublasSetStream), functions.set_stream);
  find(library, DRNAS_NAME(cublasSetWorkspace), functions.set_workspace);
  find(library, DRNAS_NAME(cublasSgemmStridedBatched), functions.multiply_batched);
  return functions;
}

}  // namespace

bool CublasLibrary::there() {
  static const bool found = find_library() != nullptr;
  return found;
}

CublasLibrary& CublasLibrary::get() {
  static CublasLibrary& shared = *new CublasLibrary;
  return shared;
}

CublasLibrary::CublasLibrary() : functions_(open_functions()) {
  require_cuda(cudaMalloc(&workspace_, workspace_bytes), "allocate cuBLAS's workspace");
  require(functions_.create(&handle_), "cannot start cuBLAS");
  require(functions_.set_atomics_mode(handle_, CUBLAS_ATOMICS_NOT_ALLOWED), "cublasSetAtomicsMode");
}

void CublasLibrary::require(cublasStatus_t status, const std::string& what) const {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(what + ": " + functions_.status_text(status));
}

void CublasLibrary::run(
    cublasMath_t math, Stream stream, const std::function<std::string()>& describe,
    const std::function<cublasStatus_t(const CublasFunctions&, cublasHandle_t)>& body) {
  const std::lock_guard lock(mutex_);
  const auto check = [&](cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS) require(status, describe() + ": " + call);
  };
  check(functions_.set_math_mode(handle_, math), "cublasSetMathMode");
  check(functions_.set_stream(handle_, static_cast<cudaStream_t>(stream)), "cublasSetStream");
  // cublasSetStream goes back to the workspace of cuBLAS.
  check(functions_.set_workspace(handle_, workspace_, workspace_bytes), "cublasSetWorkspace");
  check(body(functions_, handle_), "cuBLAS's product");
  if (waits_after_calls()) after_call(describe().c_str(), stream);
}

}  // namespace drnas::kernels
