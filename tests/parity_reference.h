// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "engine/safetensors.h"

namespace drnas::parity {

/// A NAS-Bench-201 reference file whose metadata and tensor sizes have been checked.
class ReferenceFile {
 public:
  /// Throws Error for a file of another space, another order of edges or operations, or sizes that
  /// its tensors do not have.
  explicit ReferenceFile(const std::filesystem::path& path);

  int channels() const { return channels_; }
  int cells() const { return cells_; }
  int classes() const { return classes_; }
  int partial_channels() const { return partial_channels_; }
  int steps() const { return steps_; }
  double clip() const { return number("clip"); }
  bool contains(const std::string& name) const { return file_.contains(name); }

  /// The values of a float32 tensor in this project's layout: activations NCHW -> NHWC,
  /// convolutions OIHW -> [o, k, k, i], others as they are. Throws Error when it does not hold
  /// `count` elements.
  std::vector<float> values(const std::string& name, std::int64_t count) const;
  /// Images [n, 3, size, size] -> NHWC; their labels, each below classes().
  struct Batch {
    std::vector<float> images;
    std::vector<std::int32_t> labels;
    int size = 0;
  };
  Batch batch(const std::string& prefix) const;
  /// Throws Error when a tensor with this prefix has a name that is not among the given ones.
  void expect_only(const std::string& prefix, const std::set<std::string>& names) const;

 private:
  [[noreturn]] void fail(const std::string& what) const;
  double number(const std::string& key) const;
  int count(const std::string& key) const;
  void expect_metadata(const std::string& key, const std::string& value) const;
  void expect_extent(const std::string& tensor, int extent) const;

  SafetensorsFile file_;
  int channels_ = 0, cells_ = 0, classes_ = 0, partial_channels_ = 0, steps_ = 0;
};

}  // namespace drnas::parity
