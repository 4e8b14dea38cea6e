// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/memory/allocator.h"
#include "engine/memory/planning.h"
#include "kernels/core/bfloat16.h"

namespace drnas {

enum class DType { f32, bf16, f64, u8, i32, u32, i64 };
constexpr std::size_t size_of(DType type) {
  return type == DType::f64 || type == DType::i64 ? 8
         : type == DType::bf16                    ? 2
         : type == DType::u8                      ? 1
                                                  : 4;
}
template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<bfloat16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::u8;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<std::uint32_t>() {
  return DType::u32;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::i64;
}

/// Four extents: [n, h, w, c] for activations, [c_out, kernel, kernel, c_in] for weights, [1, 1,
/// rows, columns] for tables.
struct Shape {
  std::int64_t n = 1, h = 1, w = 1, c = 1;

  std::int64_t elements() const { return n * h * w * c; }
  std::int64_t pixels() const { return n * h * w; }
  bool operator==(const Shape&) const = default;
};
std::string to_string(const Shape& shape);

/// Channels innermost, or channel by channel (see kernels/planes/planes.h), or in two parts that
/// only bundles and node mixes know (see kernels/bundle/conv_bundle.h). A shape names its extents
/// the same way in all.
enum class Layout { nhwc, planes, apart };

/// A view of memory from an Allocator, shared by all copies and returned with the last of them.
/// NHWC: `pixel_stride` elements from pixel to pixel, more than c for a range of channels. Planes:
/// `image_stride` elements from image to image, more than c*h*w for a range of channels.
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised memory. Throws Error where the allocator's budget is exceeded.
  Tensor(Shape shape, MemoryTag tag, Device device = Device::cpu, DType dtype = DType::f32,
         Layout layout = Layout::nhwc);
  static Tensor zeros(Shape shape, MemoryTag tag, Device device = Device::cpu,
                      DType dtype = DType::f32);

  bool empty() const { return !storage_; }
  explicit operator bool() const { return !empty(); }
  const Shape& shape() const { return shape_; }
  std::int64_t elements() const { return shape_.elements(); }
  Layout layout() const { return layout_; }
  std::int64_t pixel_stride() const { return pixel_stride_; }
  std::int64_t image_stride() const { return image_stride_; }
  bool dense() const {
    return layout_ == Layout::nhwc ? pixel_stride_ == shape_.c
                                   : image_stride_ == shape_.h * shape_.w * shape_.c;
  }
  Device device() const { return device_; }
  DType dtype() const { return dtype_; }
  /// Of a dense tensor's values.
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype_); }
  std::byte* bytes_begin() const { return base_; }

  /// Start of the data; throws Error when T is not the element type.
  template <class T = float>
  T* data() const {
    check_type(dtype_of<T>());
    return reinterpret_cast<T*>(base_);
  }
  /// The channels [first, first + count) of the same memory.
  Tensor channels(std::int64_t first, std::int64_t count) const;
  /// `shape.elements()` elements of the same memory from element `first` of a dense tensor on.
  Tensor slice(std::int64_t first, Shape shape) const;
  /// Sets every byte of a dense tensor to zero.
  void clear() const;

 private:
  void check_type(DType wanted) const;

  std::shared_ptr<void> storage_;
  std::byte* base_ = nullptr;
  Shape shape_;
  std::int64_t pixel_stride_ = 0, image_stride_ = 0;
  Layout layout_ = Layout::nhwc;
  Device device_ = Device::cpu;
  DType dtype_ = DType::f32;
};

/// Runs `work`, which calls kernels, unless this thread only plans (see planning.h).
template <class Work>
void execute(const Work& work) {
  if (!planning()) work();
}

/// Calls `body` with the device as a compile-time constant. Throws Error for a device that this
/// build lacks.
template <class Body>
decltype(auto) dispatch(Device device, const Body& body) {
  if (device == Device::cpu) return body.template operator()<Device::cpu>();
#ifdef DRNAS_WITH_CUDA
  return body.template operator()<Device::cuda>();
#else
  throw Error("device cuda: this build has no CUDA, expected cpu");
#endif
}

/// The same with the storage type of activations: float, and on CUDA bfloat16.
template <class Body>
decltype(auto) dispatch(Device device, DType storage, const Body& body) {
  if (storage == DType::f32)
    return dispatch(device, [&]<Device D>() { return body.template operator()<D, float>(); });
#ifdef DRNAS_WITH_CUDA
  if (storage == DType::bf16 && device == Device::cuda)
    return body.template operator()<Device::cuda, bfloat16>();
#endif
  throw Error("activations: expected float32, or bfloat16 on CUDA");
}

}  // namespace drnas
