// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace drnas {

/// One entry of a safetensors file; `data` points into the file object that owns it.
struct SafetensorsEntry {
  std::string dtype;  ///< "F32", "F64", "I64", "U64", "U8", "BF16", ...
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;

  std::int64_t elements() const;
};

/// A safetensors file read whole into memory: 8-byte little-endian header length, JSON header, raw
/// little-endian data. Throws Error naming the file when it is missing, cut short, malformed, or
/// it does not match the checksum that SafetensorsWriter leaves in the metadata.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  SafetensorsFile(const SafetensorsFile&) = delete;  // entries point into bytes_
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  const std::map<std::string, SafetensorsEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(const std::string& name) const { return entries_.count(name) != 0; }
  /// Of header and data, which then match it.
  bool has_checksum() const;
  /// Throws Error naming the file and the tensor when it is absent.
  const SafetensorsEntry& at(const std::string& name) const;
  /// The values of a tensor of element type T (float, double, int64, uint64, int32, uint32, uint8);
  /// throws Error on another dtype.
  template <class T>
  std::vector<T> values(const std::string& name) const;
  const std::string& metadata_at(const std::string& key) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::vector<std::byte> bytes_;
  std::map<std::string, SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// Collects tensors, then writes them in one atomic step (write_file_atomically). The data stand in
/// order of decreasing element size, then of insertion: aligned without holes, which other readers
/// refuse. The metadata hold a CRC-32C (`checksum`, eight hexadecimal digits) of the header, as
/// compact JSON with this entry empty, and the data.
class SafetensorsWriter {
 public:
  /// Copies `values`, row-major. Throws Error naming the tensor when its name is taken or the shape
  /// does not hold as many elements.
  template <class T>
  void add(const std::string& name, std::vector<std::int64_t> shape, std::span<const T> values);
  /// The same without a copy: `values` have to stay where and as they are until write().
  template <class T>
  void add_view(const std::string& name, std::vector<std::int64_t> shape,
                std::span<const T> values);
  /// The same with values that write() asks for, twice: fill(values) sets all of them.
  template <class T>
  void add_computed(const std::string& name, std::vector<std::int64_t> shape,
                    std::function<void(std::span<T>)> fill);
  void set_metadata(const std::string& key, const std::string& value) { metadata_[key] = value; }
  void write(const std::filesystem::path& path) const;

 private:
  struct Item {
    std::string name, dtype;
    std::vector<std::int64_t> shape;
    std::size_t bytes;
    /// The data, in `scratch` where they lie in no other place.
    std::function<std::span<const std::byte>(std::vector<std::byte>& scratch)> data;
  };
  /// Adds an item without data.
  template <class T>
  Item& add_item(const std::string& name, std::vector<std::int64_t> shape);

  std::vector<Item> items_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace drnas
