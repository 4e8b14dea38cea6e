// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <vector>

#include "engine/tensor.h"

namespace drnas {

/// The stream on which everything of a device runs, one after another; null on the CPU.
kernels::Stream compute_stream(Device device);
/// Waits for all work of the device. Not while a step is being captured.
void synchronize(Device device);

/// Fills a dense tensor from host memory, after the device's work, and waits for the copy: the
/// host memory may be reused at once. Throws Error where the counts differ.
template <class T>
void upload(std::span<const T> from, const Tensor& to);
/// A dense tensor's values, once the device's work is done.
template <class T>
std::vector<T> download(const Tensor& from);
/// Copies a dense tensor to another of the same element type and size, on any device.
void copy(const Tensor& from, const Tensor& to);

/// To a tensor of one value.
template <class T>
void upload_scalar(T value, const Tensor& to) {
  upload<T>(std::span<const T>(&value, 1), to);
}

}  // namespace drnas
