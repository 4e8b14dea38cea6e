// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/tape.h"

namespace drnas {

/// How a parameter starts: uniform in (-1/sqrt(fan_in), 1/sqrt(fan_in)), or a constant.
struct Initial {
  std::int64_t fan_in = 0;  ///< > 0: uniform
  float constant = 0.0f;

  static Initial uniform(std::int64_t fan_in) { return {fan_in, 0.0f}; }
  static Initial value(float constant) { return {0, constant}; }
};

/// Which extents of a tensor grow when a network widens: axes of the same name take the same index
/// map (see widening.h). Empty: never widened. `A|B`: two halves that grow by the maps of A and B.
struct WideningAxes {
  std::string out, in;  ///< of the first and of the last extent; statistics have `out` only
};

/// One named tensor inside a flat buffer.
struct NamedSlice {
  std::string name;  ///< stable: checkpoints and golden files use it
  Shape shape;
  std::int64_t offset;  ///< elements from the start of the buffer
  Initial initial;
  WideningAxes axes;
  std::vector<std::string> aliases;  ///< other published names of the same values
};

/// All weights of a network in one flat float32 buffer, their gradients and momentum in two more of
/// the same layout, and the running statistics in a fourth. Optimisers, norms, checkpoints and
/// widening work on the flat buffers; operations see slices. Layout of convolution weights: [c_out,
/// kernel, kernel, c_in]. With activations in bfloat16 (CUDA) the weights are kept in that type as
/// well, for convolutions to read; set_weights() and sgd_step() bring that copy up to date.
class ParameterStore {
 public:
  explicit ParameterStore(Device device = Device::cpu, DType activations = DType::f32)
      : device_(device), activations_(activations) {}

  /// Declares a parameter after the last one; returns its offset. A slice that continues a group
  /// is adjacent to the one before it (a convolution bundle's weights are one tensor); others start
  /// at a multiple of 16 bytes, in bfloat16 too.
  std::int64_t add(const std::string& name, Shape shape, Initial initial,
                   bool continues_group = false, WideningAxes axes = {});
  /// Declares a running statistic, likewise.
  std::int64_t add_statistic(const std::string& name, Shape shape, float initial,
                             bool continues_group = false, WideningAxes axes = {},
                             std::vector<std::string> aliases = {});
  /// Allocates the buffers and fills them: parameter i from the Philox stream (seed, init, i).
  void allocate(std::uint64_t seed);

  /// Sets all weights, padding included, and their copy.
  void set_weights(std::span<const float> values) const;

  /// Brings the copy up to date after the weights were written by other means.
  void round_weights() const;

  /// A leaf over `shape.elements()` weights from `offset` on, and its gradient.
  Variable leaf(std::int64_t offset, Shape shape, const std::string& name) const;
  Tensor statistic(std::int64_t offset, Shape shape) const {
    return statistics_.slice(offset, shape);
  }

  const std::vector<NamedSlice>& parameters() const { return parameters_; }
  const std::vector<NamedSlice>& statistics() const { return statistic_slices_; }
  /// Sum of the parameters' elements, padding left out.
  std::int64_t count() const;

  const Tensor& weights() const { return weights_; }
  /// The weights in bfloat16; empty where activations are float32.
  const Tensor& rounded() const { return rounded_; }
  const Tensor& gradients() const { return gradients_; }
  const Tensor& velocity() const { return velocity_; }
  const Tensor& statistics_buffer() const { return statistics_; }
  Device device() const { return device_; }

 private:
  std::int64_t segment() const;

  Device device_;
  DType activations_;
  std::vector<NamedSlice> parameters_, statistic_slices_;
  std::int64_t size_ = 0, statistics_size_ = 0;
  Tensor weights_, rounded_, gradients_, velocity_, statistics_;
};

}  // namespace drnas
