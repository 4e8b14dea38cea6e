// SPDX-License-Identifier: MIT
#include "engine/parameters/parameters.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "engine/stream.h"
#include "kernels/core/parallel.h"
#include "kernels/random/philox_fill.h"
#include "kernels/train/elementwise.h"

namespace drnas {
namespace {

std::int64_t append(std::vector<NamedSlice>& slices, std::int64_t& size, NamedSlice slice,
                    bool continues_group, std::int64_t segment) {
  if (!continues_group) size = kernels::round_up(size, segment);
  slice.offset = size;
  size += slice.shape.elements();
  slices.push_back(std::move(slice));
  return slices.back().offset;
}

Shape flat(std::int64_t count, std::int64_t segment) {
  return {1, 1, 1, std::max(segment, kernels::round_up(count, segment))};
}

}  // namespace

std::int64_t ParameterStore::add(const std::string& name, Shape shape, Initial initial,
                                 bool continues_group, WideningAxes axes) {
  return append(parameters_, size_, {name, shape, 0, initial, std::move(axes), {}}, continues_group,
                segment());
}

std::int64_t ParameterStore::add_statistic(const std::string& name, Shape shape, float initial,
                                           bool continues_group, WideningAxes axes,
                                           std::vector<std::string> aliases) {
  return append(statistic_slices_, statistics_size_,
                {name, shape, 0, Initial::value(initial), std::move(axes), std::move(aliases)},
                continues_group, segment());
}

void ParameterStore::allocate(std::uint64_t seed) {
  weights_ = Tensor::zeros(flat(size_, segment()), MemoryTag::weights, device_);
  if (activations_ != DType::f32)
    rounded_ = Tensor::zeros(weights_.shape(), MemoryTag::weights, device_, activations_);
  gradients_ = Tensor::zeros(weights_.shape(), MemoryTag::gradients, device_);
  velocity_ = Tensor::zeros(weights_.shape(), MemoryTag::optimizer, device_);
  statistics_ = Tensor::zeros(flat(statistics_size_, segment()), MemoryTag::statistics, device_);
  dispatch(device_, [&]<Device D>() {
    const auto fill = [&](const Tensor& buffer, const NamedSlice& slice, std::uint32_t index) {
      const float bound = slice.initial.fan_in
                              ? 1.0f / std::sqrt(static_cast<float>(slice.initial.fan_in))
                              : slice.initial.constant;
      execute([&] {
        kernels::fill_uniform<D>(buffer.data() + slice.offset, slice.shape.elements(),
                                 slice.initial.fan_in ? -bound : bound, bound, seed,
                                 kernels::Purpose::init, index, compute_stream(D));
      });
    };
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      fill(weights_, parameters_[i], static_cast<std::uint32_t>(i));
    for (const NamedSlice& slice : statistic_slices_) fill(statistics_, slice, 0);
  });
  round_weights();
}

/// Elements in 16 bytes of the narrowest type.
std::int64_t ParameterStore::segment() const { return activations_ == DType::f32 ? 4 : 8; }

void ParameterStore::round_weights() const {
  if (rounded_.empty()) return;
  dispatch(device_, activations_, [&]<Device D, class T>() {
    if constexpr (!std::is_same_v<T, float>)
      execute([&] {
        kernels::cast<D>(weights_.elements(), weights_.data(), rounded_.data<T>(),
                         compute_stream(D));
      });
  });
}

void ParameterStore::set_weights(std::span<const float> values) const {
  upload<float>(values, weights_);
  round_weights();
}

Variable ParameterStore::leaf(std::int64_t offset, Shape shape, const std::string& name) const {
  const Variable leaf(weights_.slice(offset, shape), gradients_.slice(offset, shape), name);
  if (!rounded_.empty()) leaf.set_rounded(rounded_.slice(offset, shape));
  return leaf;
}

std::int64_t ParameterStore::count() const {
  std::int64_t sum = 0;
  for (const NamedSlice& slice : parameters_) sum += slice.shape.elements();
  return sum;
}

}  // namespace drnas
