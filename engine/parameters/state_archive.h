// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/parameters/parameters.h"
#include "engine/safetensors.h"

namespace drnas {

/// The state of a run in a safetensors file (checkpoint format 3): every scalar and tensor under a
/// name. One function of a class describes its state, for saving and for loading alike: it calls
/// value(), table() and so on for all that it keeps, and each call writes what it is given, or
/// overwrites it with what the file holds. Loading throws Error naming the file and the entry that
/// is missing, of another type or shape, or out of range; damaged data are found by their checksum.
class StateArchive {
 public:
  /// What a file must be of to be loaded: "search" or "training", and the options that can change
  /// results, as TOML lines.
  struct Identity {
    std::string kind, configuration;
  };
  /// For saving: collects what write() then writes.
  explicit StateArchive(const Identity& identity);
  /// For loading. Throws Error naming the file when it is missing, damaged, of another kind, of the
  /// older format, or belongs to another configuration.
  StateArchive(const std::filesystem::path& file, const Identity& identity);

  bool loading() const { return file_.has_value(); }
  /// The file that is being loaded.
  const std::filesystem::path& path() const { return file_->path(); }

  /// Of a file that is being loaded: does it hold this entry?
  bool has(const std::string& name) const { return file_->entries().contains(name); }

  /// A count or an index: not negative, and what the type holds.
  template <std::integral T>
  void value(const std::string& name, T& value) {
    std::int64_t stored = static_cast<std::int64_t>(value);
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    integer(name, stored,
            static_cast<std::int64_t>(
                std::min(most, static_cast<std::uint64_t>(std::numeric_limits<T>::max()))));
    value = static_cast<T>(stored);
  }
  void value(const std::string& name, double& value);
  /// Any number of integers.
  void list(const std::string& name, std::vector<std::int64_t>& values);
  /// Tensors on any device, float64 or int64; their shape stays.
  void table(const std::string& name, const Tensor& tensor);
  /// A network's weights, momentum and running statistics: see save_parameters(). Saving on the CPU
  /// refers to them until write().
  void parameters(const ParameterStore& store);

  /// Atomically: the file is as before or complete.
  void write(const std::filesystem::path& file) const { writer_.write(file); }

 private:
  void integer(const std::string& name, std::int64_t& value, std::int64_t largest);

  SafetensorsWriter writer_;
  std::optional<SafetensorsFile> file_;
};

/// The entry `format` in the metadata of a file of this kind.
std::string archive_format(const std::string& kind);

}  // namespace drnas
