// SPDX-License-Identifier: MIT
#include "engine/tensor.h"

#include <cstring>

#ifdef DRNAS_WITH_CUDA
#include "engine/stream.h"
#include "kernels/core/launch.h"
#endif

namespace drnas {

std::string to_string(const Shape& s) {
  return "[" + std::to_string(s.n) + ", " + std::to_string(s.h) + ", " + std::to_string(s.w) +
         ", " + std::to_string(s.c) + "]";
}

Tensor::Tensor(Shape shape, MemoryTag tag, Device device, DType dtype, Layout layout)
    : shape_(shape),
      pixel_stride_(shape.c),
      image_stride_(shape.h * shape.w * shape.c),
      layout_(layout),
      device_(device),
      dtype_(dtype) {
  Allocator& allocator = Allocator::of(device);
  void* memory =
      allocator.allocate(static_cast<std::size_t>(shape.elements()) * size_of(dtype), tag);
  storage_ = std::shared_ptr<void>(memory, [&allocator](void* p) { allocator.free(p); });
  base_ = static_cast<std::byte*>(memory);
}

Tensor Tensor::zeros(Shape shape, MemoryTag tag, Device device, DType dtype) {
  Tensor tensor(shape, tag, device, dtype);
  tensor.clear();
  return tensor;
}

Tensor Tensor::channels(std::int64_t first, std::int64_t count) const {
  if (first < 0 || count < 1 || first + count > shape_.c || layout_ == Layout::apart)
    throw Error("tensor " + to_string(shape_) + ": no channels [" + std::to_string(first) + ", " +
                std::to_string(first + count) + ")");
  Tensor view = *this;
  const std::int64_t elements = layout_ == Layout::nhwc ? first : first * shape_.h * shape_.w;
  view.base_ += static_cast<std::size_t>(elements) * size_of(dtype_);
  view.shape_.c = count;
  return view;
}

Tensor Tensor::slice(std::int64_t first, Shape shape) const {
  if (!dense() || first < 0 || first + shape.elements() > elements())
    throw Error("tensor " + to_string(shape_) + ": no slice " + to_string(shape) + " at element " +
                std::to_string(first));
  Tensor view = *this;
  view.base_ += static_cast<std::size_t>(first) * size_of(dtype_);
  view.shape_ = shape;
  view.pixel_stride_ = shape.c;
  view.image_stride_ = shape.h * shape.w * shape.c;
  return view;
}

void Tensor::clear() const {
  if (!dense()) throw Error("tensor " + to_string(shape_) + ": clear() needs dense memory");
  if (planning()) return;
#ifdef DRNAS_WITH_CUDA
  if (device_ == Device::cuda) {
    auto* const stream = static_cast<cudaStream_t>(compute_stream(device_));
    return kernels::require_cuda(cudaMemsetAsync(base_, 0, bytes(), stream), "clear a tensor");
  }
#endif
  std::memset(base_, 0, bytes());
}

void Tensor::check_type(DType wanted) const {
  if (wanted != dtype_)
    throw Error("tensor " + to_string(shape_) + ": read as another element type than it holds");
}

}  // namespace drnas
