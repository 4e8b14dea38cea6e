// SPDX-License-Identifier: MIT
#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include "engine/crc32c.h"
#include "engine/files.h"
#include "engine/parse_json.h"
#include "kernels/core/error.h"

namespace drnas {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian");

using Json = nlohmann::ordered_json;

constexpr std::size_t prefix_bytes = 8;
constexpr const char* metadata_name = "__metadata__";
constexpr const char* checksum_key = "checksum";

std::string hexadecimal(std::uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

struct Dtype {
  const char* name;
  std::size_t bytes;
};
constexpr Dtype dtypes[] = {{"F64", 8},  {"I64", 8}, {"U64", 8}, {"F32", 4},     {"I32", 4},
                            {"U32", 4},  {"F16", 2}, {"I16", 2}, {"U16", 2},     {"BF16", 2},
                            {"BOOL", 1}, {"I8", 1},  {"U8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}};

/// 0 for an unknown name.
std::size_t bytes_of_dtype(const std::string& name) {
  for (const Dtype& dtype : dtypes)
    if (name == dtype.name) return dtype.bytes;
  return 0;
}

template <class T>
constexpr const char* dtype_of() {
  if constexpr (std::is_same_v<T, float>) return "F32";
  if constexpr (std::is_same_v<T, double>) return "F64";
  if constexpr (std::is_same_v<T, std::int64_t>) return "I64";
  if constexpr (std::is_same_v<T, std::uint64_t>) return "U64";
  if constexpr (std::is_same_v<T, std::int32_t>) return "I32";
  if constexpr (std::is_same_v<T, std::uint32_t>) return "U32";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "U8";
}

/// Product of the dimensions; empty where one is negative or the product overflows.
std::optional<std::int64_t> product(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape)
    if (dimension < 0 || __builtin_mul_overflow(count, dimension, &count)) return std::nullopt;
  return count;
}

std::string to_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t dimension : shape)
    text += (text.size() > 1 ? ", " : "") + std::to_string(dimension);
  return text + "]";
}

/// Of a header with its entry for the checksum left empty. It goes on with the data.
std::uint32_t header_checksum(Json& header) {
  header[metadata_name][checksum_key] = "";
  const std::string text = header.dump();
  return crc32c(std::as_bytes(std::span(text)));
}

/// Parses and checks one header; `where` in messages is the file.
class HeaderReader {
 public:
  HeaderReader(const std::filesystem::path& path, std::span<const std::byte> bytes)
      : where_(path.string()) {
    if (bytes.size() < prefix_bytes)
      fail("expected a safetensors file, found only " + std::to_string(bytes.size()) + " bytes");
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), prefix_bytes);
    if (length > bytes.size() - prefix_bytes)
      fail("expected a header of " + std::to_string(length) + " bytes, the file has only " +
           std::to_string(bytes.size() - prefix_bytes) + " after its length (cut short or not a " +
           "safetensors file)");
    parse(bytes.subspan(prefix_bytes, length));
    data_ = bytes.subspan(prefix_bytes + length);
  }

  std::map<std::string, std::string> metadata() const {
    std::map<std::string, std::string> result;
    const auto found = header_.find(metadata_name);
    if (found == header_.end()) return result;
    if (!found->is_object()) fail("expected __metadata__ to be a JSON object");
    for (const auto& [key, value] : found->items()) {
      if (!value.is_string()) fail("metadata '" + key + "': expected a string");
      result[key] = value.get<std::string>();
    }
    return result;
  }

  void check_sum(const std::map<std::string, std::string>& metadata) const {
    const auto stored = metadata.find(checksum_key);
    if (stored == metadata.end()) return;
    Json header = header_;
    const std::string found = hexadecimal(crc32c(data_, header_checksum(header)));
    if (stored->second != found)
      fail("has the checksum " + found + ", expected " + stored->second +
           ": the file was changed after it was written");
  }

  std::map<std::string, SafetensorsEntry> entries() const {
    std::map<std::string, SafetensorsEntry> result;
    for (const auto& [name, value] : header_.items())
      if (name != metadata_name) result[name] = entry(name, value);
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(where_ + ": " + what); }

  void parse(std::span<const std::byte> text) {
    std::set<std::string> names;
    const auto refuse_repeated_names = [&](int depth, Json::parse_event_t event, Json& value) {
      if (depth > deepest_json) fail("the header is nested too deep");
      if (depth == 1 && event == Json::parse_event_t::key)
        if (!names.insert(value.get<std::string>()).second)
          fail("the header names '" + value.get<std::string>() + "' twice");
      return true;
    };
    const char* begin = reinterpret_cast<const char*>(text.data());
    try {
      header_ = Json::parse(begin, begin + text.size(), refuse_repeated_names);
    } catch (const Json::parse_error& error) {
      fail("the header is not valid JSON (byte " + std::to_string(error.byte) + " of " +
           std::to_string(text.size()) + ")");
    } catch (const Json::exception&) {
      fail("the header holds a number out of range");
    }
    if (!header_.is_object()) fail("expected the header to be a JSON object");
  }

  /// A list of non-negative integers that fit int64.
  std::vector<std::int64_t> integers(const std::string& tensor, const Json& entry,
                                     const char* key) const {
    const auto found = entry.find(key);
    const auto is_valid = [](const Json& value) {
      return value.is_number_unsigned() &&
             value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max();
    };
    if (found == entry.end() || !found->is_array() ||
        !std::all_of(found->begin(), found->end(), is_valid))
      fail("tensor '" + tensor + "': expected " + key + " to be a list of non-negative integers");
    return found->get<std::vector<std::int64_t>>();
  }

  SafetensorsEntry entry(const std::string& name, const Json& value) const {
    const std::string tensor = "tensor '" + name + "': ";
    if (!value.is_object()) fail(tensor + "expected a JSON object");
    const auto dtype = value.find("dtype");
    if (dtype == value.end() || !dtype->is_string()) fail(tensor + "expected a dtype");
    SafetensorsEntry result{dtype->get<std::string>(), integers(name, value, "shape"), {}};
    const std::size_t item = bytes_of_dtype(result.dtype);
    if (item == 0) fail(tensor + "unknown dtype '" + result.dtype + "'");
    const std::vector<std::int64_t> offsets = integers(name, value, "data_offsets");
    if (offsets.size() != 2) fail(tensor + "expected two data_offsets");
    const auto begin = static_cast<std::size_t>(offsets[0]);
    const auto end = static_cast<std::size_t>(offsets[1]);
    if (begin > end || end > data_.size())
      fail(tensor + "data_offsets " + to_text(offsets) + " do not lie within the " +
           std::to_string(data_.size()) + " bytes of data (cut short?)");
    const auto count = product(result.shape);
    if (!count || (end - begin) % item != 0 ||
        (end - begin) / item != static_cast<std::size_t>(*count))
      fail(tensor + result.dtype + " of shape " + to_text(result.shape) +
           " does not match its data of " + std::to_string(end - begin) + " bytes");
    result.data = data_.subspan(begin, end - begin);
    return result;
  }

  std::string where_;
  Json header_;
  std::span<const std::byte> data_;
};

}  // namespace

std::int64_t SafetensorsEntry::elements() const { return product(shape).value(); }

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), bytes_(read_file(path)) {
  const HeaderReader header(path_, bytes_);
  metadata_ = header.metadata();
  header.check_sum(metadata_);
  entries_ = header.entries();
}

bool SafetensorsFile::has_checksum() const { return metadata_.contains(checksum_key); }

const SafetensorsEntry& SafetensorsFile::at(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    throw Error(path_.string() + ": expected a tensor '" + name + "', found none");
  return found->second;
}

const std::string& SafetensorsFile::metadata_at(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end())
    throw Error(path_.string() + ": expected metadata '" + key + "', found none");
  return found->second;
}

template <class T>
std::vector<T> SafetensorsFile::values(const std::string& name) const {
  const SafetensorsEntry& entry = at(name);
  if (entry.dtype != dtype_of<T>())
    throw Error(path_.string() + ": tensor '" + name + "': expected dtype " + dtype_of<T>() +
                ", found " + entry.dtype);
  std::vector<T> result(entry.data.size() / sizeof(T));
  if (!result.empty()) std::memcpy(result.data(), entry.data.data(), entry.data.size());
  return result;
}

template <class T>
SafetensorsWriter::Item& SafetensorsWriter::add_item(const std::string& name,
                                                     std::vector<std::int64_t> shape) {
  const auto is_taken = [&](const Item& item) { return item.name == name; };
  if (name == metadata_name || std::any_of(items_.begin(), items_.end(), is_taken))
    throw Error("tensor '" + name + "': the name is already taken");
  const auto count = product(shape);
  if (!count) throw Error("tensor '" + name + "': shape " + to_text(shape) + " holds no tensor");
  const std::size_t bytes = static_cast<std::size_t>(*count) * sizeof(T);
  return items_.emplace_back(Item{name, dtype_of<T>(), std::move(shape), bytes, {}});
}

template <class T>
void SafetensorsWriter::add_computed(const std::string& name, std::vector<std::int64_t> shape,
                                     std::function<void(std::span<T>)> fill) {
  Item& item = add_item<T>(name, std::move(shape));
  item.data = [bytes = item.bytes, fill = std::move(fill)](std::vector<std::byte>& scratch) {
    scratch.resize(bytes);
    fill({reinterpret_cast<T*>(scratch.data()), bytes / sizeof(T)});
    return std::span<const std::byte>(scratch);
  };
}

template <class T>
void SafetensorsWriter::add_view(const std::string& name, std::vector<std::int64_t> shape,
                                 std::span<const T> values) {
  if (const auto count = product(shape); !count || std::cmp_not_equal(*count, values.size()))
    throw Error("tensor '" + name + "': shape " + to_text(shape) + " does not hold " +
                std::to_string(values.size()) + " values");
  add_item<T>(name, std::move(shape)).data = [values](std::vector<std::byte>&) {
    return std::as_bytes(values);
  };
}

template <class T>
void SafetensorsWriter::add(const std::string& name, std::vector<std::int64_t> shape,
                            std::span<const T> values) {
  add_view(name, std::move(shape), values);
  items_.back().data = [copy = std::vector<T>(values.begin(), values.end())](
                           std::vector<std::byte>&) { return std::as_bytes(std::span(copy)); };
}

void SafetensorsWriter::write(const std::filesystem::path& path) const {
  std::vector<const Item*> order;
  for (const Item& item : items_) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
    return bytes_of_dtype(a->dtype) > bytes_of_dtype(b->dtype);
  });
  Json header = Json::object();
  header[metadata_name] = metadata_;
  std::size_t end = 0;
  for (const Item* item : order) {
    const std::size_t begin = end;
    end += item->bytes;
    header[item->name] = {
        {"dtype", item->dtype}, {"shape", item->shape}, {"data_offsets", {begin, end}}};
  }
  std::string text;
  std::vector<std::byte> scratch;
  try {
    std::uint32_t checksum = header_checksum(header);
    for (const Item* item : order) checksum = crc32c(item->data(scratch), checksum);
    header[metadata_name][checksum_key] = hexadecimal(checksum);
    text = header.dump();
  } catch (const Json::exception&) {
    throw Error("cannot write " + path.string() + ": expected names and metadata in UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  write_file_atomically(path, 2 + order.size(), [&](std::size_t i) {
    if (i == 0) return std::as_bytes(std::span(&length, 1));
    return i == 1 ? std::as_bytes(std::span<const char>(text)) : order[i - 2]->data(scratch);
  });
}

#define DRNAS_INSTANTIATE(T)                                                                \
  template std::vector<T> SafetensorsFile::values<T>(const std::string& name) const;        \
  template void SafetensorsWriter::add<T>(                                                  \
      const std::string& name, std::vector<std::int64_t> shape, std::span<const T> values); \
  template void SafetensorsWriter::add_view<T>(                                             \
      const std::string& name, std::vector<std::int64_t> shape, std::span<const T> values); \
  template void SafetensorsWriter::add_computed<T>(const std::string& name,                 \
                                                   std::vector<std::int64_t> shape,         \
                                                   std::function<void(std::span<T>)> fill);
DRNAS_INSTANTIATE(float)
DRNAS_INSTANTIATE(double)
DRNAS_INSTANTIATE(std::int64_t)
DRNAS_INSTANTIATE(std::uint64_t)
DRNAS_INSTANTIATE(std::int32_t)
DRNAS_INSTANTIATE(std::uint32_t)
DRNAS_INSTANTIATE(std::uint8_t)
#undef DRNAS_INSTANTIATE

}  // namespace drnas
