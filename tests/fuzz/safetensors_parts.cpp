// SPDX-License-Identifier: MIT
#include "tests/fuzz/safetensors_parts.h"

#include <cstring>
#include <iterator>

#include "engine/crc32c.h"

namespace drnas::fuzz {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t prefix_bytes = 8;
constexpr const char *metadata_name = "__metadata__", *checksum_key = "checksum";

Bytes with_length(std::string_view header, Input data) {
  const std::uint64_t length = header.size();
  Bytes file(prefix_bytes);
  std::memcpy(file.data(), &length, prefix_bytes);
  file.insert(file.end(), header.begin(), header.end());
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

std::string text_of(const Json& header) {
  return header.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The value of an entry's or of the metadata's key.
void change_value(Json& value, const Change& change) {
  Bytes text = to_bytes(text_of(value));
  change.bytes(text);
  Json changed = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!changed.is_discarded()) value = std::move(changed);
}

void change_dtype(Json& entry, Rng& rng) {
  constexpr const char* dtypes[] = {"F64", "I64", "U64", "F32",  "I32",     "U32",
                                    "F16", "U8",  "I8",  "BOOL", "F8_E4M3", "X"};
  entry["dtype"] = dtypes[rng() % std::size(dtypes)];
}

void change_entry(Json& header, const Change& change) {
  auto item = header.begin();
  std::advance(item, static_cast<std::ptrdiff_t>(change.rng() % header.size()));
  const std::string key = item.key();
  switch (change.rng() % 6) {
    case 0:
      header.erase(key);
      return;
    case 1: {
      Bytes name = to_bytes(key);
      change.bytes(name);
      const Json value = item.value();
      header[std::string(name.begin(), name.end())] = value;
      return;
    }
    case 2:
      if (item->is_object()) change_dtype(*item, change.rng);
      return;
    case 3: {
      auto other = header.begin();
      std::advance(other, static_cast<std::ptrdiff_t>(change.rng() % header.size()));
      std::swap(*item, *other);
      return;
    }
    default:
      if (!item->is_object() || item->empty()) return change_value(*item, change);
      auto value = item->begin();
      std::advance(value, static_cast<std::ptrdiff_t>(change.rng() % item->size()));
      change_value(*value, change);
  }
}

/// Eight bytes at a place where a number may stand.
void change_number(Bytes& data, Rng& rng) {
  if (data.size() < 8) return;
  const double floats[] = {
      0.0, -1.0, 1e308, -1e308, 1e-310, static_cast<double>(NAN), static_cast<double>(INFINITY)};
  const std::int64_t integers[] = {-1, 0, 1, 2, 3, 255, 1ll << 31, 1ll << 32, 1ll << 62, INT64_MIN};
  std::uint8_t* at = data.data() + rng() % (data.size() / 8) * 8;
  if (rng() % 2 == 0)
    std::memcpy(at, &floats[rng() % std::size(floats)], 8);
  else
    std::memcpy(at, &integers[rng() % std::size(integers)], 8);
}

}  // namespace

std::optional<SafetensorsParts> take_apart(Input file) {
  std::uint64_t length = 0;
  if (file.size() < prefix_bytes) return {};
  std::memcpy(&length, file.data(), prefix_bytes);
  if (length > file.size() - prefix_bytes) return {};
  const std::string_view text = as_text(file.subspan(prefix_bytes, length));
  Json header = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!header.is_object() || header.empty()) return {};
  const Input data = file.subspan(prefix_bytes + length);
  return SafetensorsParts{std::move(header), {data.begin(), data.end()}};
}

Bytes put_together(SafetensorsParts parts) {
  const auto metadata = parts.header.find(metadata_name);
  if (metadata != parts.header.end() && metadata->is_object() && metadata->contains(checksum_key)) {
    (*metadata)[checksum_key] = "";
    const std::string header = text_of(parts.header);
    char text[9];
    std::snprintf(
        text, sizeof text, "%08x",
        crc32c(std::as_bytes(std::span(parts.data)), crc32c(std::as_bytes(std::span(header)))));
    (*metadata)[checksum_key] = text;
  }
  return with_length(text_of(parts.header), parts.data);
}

void change_safetensors(Bytes& file, const Change& change) {
  std::optional<SafetensorsParts> parts = take_apart(file);
  if (!parts || change.once_in(8)) return change.bytes(file);
  switch (change.rng() % 8) {
    case 0:
      change.bytes(parts->data);
      break;
    case 1:
    case 2:
      change_number(parts->data, change.rng);
      break;
    case 3: {  // a header that may be no JSON any more, of the right length
      Bytes text = to_bytes(text_of(parts->header));
      change.bytes(text);
      file = with_length(as_text(text), parts->data);
      return;
    }
    default:
      change_entry(parts->header, change);
  }
  file = put_together(std::move(*parts));
}

}  // namespace drnas::fuzz
