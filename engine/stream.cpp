// SPDX-License-Identifier: MIT
#include "engine/stream.h"

#include <cstring>

#ifdef DRNAS_WITH_CUDA
#include "kernels/core/launch.h"
#endif

namespace drnas {
namespace {

void check_dense(const Tensor& tensor, std::size_t bytes) {
  if (!tensor.dense() || tensor.bytes() != bytes)
    throw Error("tensor " + to_string(tensor.shape()) + ": a copy of " + std::to_string(bytes) +
                " bytes does not fit its " + std::to_string(tensor.bytes()));
}

#ifdef DRNAS_WITH_CUDA
cudaStream_t cuda_stream() {
  static cudaStream_t stream = [] {
    cudaStream_t made = nullptr;
    kernels::require_cuda(cudaStreamCreate(&made), "create a stream");
    return made;
  }();
  return stream;
}

void copy_bytes(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  kernels::require_cuda(cudaMemcpyAsync(to, from, bytes, kind, cuda_stream()), "copy");
}
#endif

}  // namespace

kernels::Stream compute_stream([[maybe_unused]] Device device) {
#ifdef DRNAS_WITH_CUDA
  if (device == Device::cuda) return cuda_stream();
#endif
  return nullptr;
}

void synchronize([[maybe_unused]] Device device) {
#ifdef DRNAS_WITH_CUDA
  if (device == Device::cuda)
    kernels::require_cuda(cudaStreamSynchronize(cuda_stream()), "finish the work of the device");
#endif
}

template <class T>
void upload(std::span<const T> from, const Tensor& to) {
  check_dense(to, from.size_bytes());
  T* target = to.data<T>();
  if (planning()) return;
#ifdef DRNAS_WITH_CUDA
  // Waits: the source may die at once.
  if (to.device() == Device::cuda) {
    copy_bytes(target, from.data(), from.size_bytes(), cudaMemcpyHostToDevice);
    return synchronize(Device::cuda);
  }
#endif
  std::memcpy(target, from.data(), from.size_bytes());
}

template <class T>
std::vector<T> download(const Tensor& from) {
  std::vector<T> values(static_cast<std::size_t>(from.elements()));
  check_dense(from, values.size() * sizeof(T));
  const T* source = from.data<T>();
  if (planning()) return values;
#ifdef DRNAS_WITH_CUDA
  if (from.device() == Device::cuda) {
    copy_bytes(values.data(), source, values.size() * sizeof(T), cudaMemcpyDeviceToHost);
    synchronize(Device::cuda);
    return values;
  }
#endif
  std::memcpy(values.data(), source, values.size() * sizeof(T));
  return values;
}

void copy(const Tensor& from, const Tensor& to) {
  if (from.dtype() != to.dtype()) throw Error("copy: the tensors' element types differ");
  check_dense(from, from.bytes());
  check_dense(to, from.bytes());
  if (planning()) return;
#ifdef DRNAS_WITH_CUDA
  if (from.device() == Device::cuda || to.device() == Device::cuda) {
    copy_bytes(to.bytes_begin(), from.bytes_begin(), from.bytes(), cudaMemcpyDefault);
    if (from.device() != to.device()) synchronize(Device::cuda);
    return;
  }
#endif
  std::memcpy(to.bytes_begin(), from.bytes_begin(), from.bytes());
}

template void upload(std::span<const float>, const Tensor&);
template void upload(std::span<const double>, const Tensor&);
template void upload(std::span<const std::uint8_t>, const Tensor&);
template void upload(std::span<const std::int32_t>, const Tensor&);
template void upload(std::span<const std::uint32_t>, const Tensor&);
template void upload(std::span<const std::int64_t>, const Tensor&);
template std::vector<float> download(const Tensor&);
template std::vector<std::uint8_t> download(const Tensor&);
template std::vector<double> download(const Tensor&);
template std::vector<std::int32_t> download(const Tensor&);
template std::vector<std::uint32_t> download(const Tensor&);
template std::vector<std::int64_t> download(const Tensor&);

}  // namespace drnas
