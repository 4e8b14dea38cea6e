// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "engine/safetensors.h"

namespace drnas::parity {

/// A reference file: tensors of a network by their published names, and metadata that describe it.
class ReferenceFile {
 public:
  /// Throws Error for sizes in the metadata that its tensors do not have.
  explicit ReferenceFile(const std::filesystem::path& path);

  /// nas-bench-201, or the kind of a network of the DARTS space.
  std::string net() const;
  /// Cells of a NAS-Bench-201 supernet a stage, of a DARTS network in all. Throw Error for a file
  /// of another space, or with edges or operations in another order.
  int check_nb201() const;
  int check_darts() const;
  const std::string& metadata(const std::string& key) const { return file_.metadata_at(key); }

  /// What single piece of a method the file is of; empty: a whole network.
  std::string piece() const;
  /// Throws Error for metadata that is no number of at least 0.
  double number(const std::string& key) const;

  int channels() const { return channels_; }
  int classes() const { return classes_; }
  int partial_channels() const { return partial_channels_; }
  int steps() const { return steps_; }
  double clip() const { return number("clip"); }
  /// Of the auxiliary head's loss.
  double auxiliary_weight() const { return number("auxiliary_weight"); }
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
  int count(const std::string& key) const;
  void expect_metadata(const std::string& key, const std::string& value) const;
  void expect_extent(const std::string& tensor, int extent) const;

  SafetensorsFile file_;
  int channels_ = 0, classes_ = 0, partial_channels_ = 0, steps_ = 0;
};

}  // namespace drnas::parity
