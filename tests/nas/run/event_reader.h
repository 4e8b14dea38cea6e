// SPDX-License-Identifier: MIT
// Reads event files without the code that writes them: a bitwise CRC, TFRecords, protobuf fields.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/files.h"

namespace drnas::test {

inline std::uint32_t bitwise_crc32c(const std::string& bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}
inline std::uint32_t bitwise_masked(const std::string& bytes) {
  const std::uint32_t crc = bitwise_crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <class T>
T from_bytes(const std::string& bytes, std::size_t at = 0) {
  REQUIRE(at + sizeof(T) <= bytes.size());
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// The messages of a file of TFRecords; every sum is checked.
inline std::vector<std::string> read_records(const std::filesystem::path& file) {
  const std::string all = read_text_file(file);
  std::vector<std::string> records;
  for (std::size_t at = 0; at < all.size();) {
    const auto length = from_bytes<std::uint64_t>(all, at);
    CHECK(from_bytes<std::uint32_t>(all, at + 8) == bitwise_masked(all.substr(at, 8)));
    REQUIRE(at + 16 + length <= all.size());
    records.push_back(all.substr(at + 12, length));
    CHECK(from_bytes<std::uint32_t>(all, at + 12 + length) == bitwise_masked(records.back()));
    at += 16 + length;
  }
  return records;
}

/// The fields of a protobuf message: numbers as their 8 or 4 bytes, the rest as it is.
using Fields = std::multimap<int, std::string>;

inline Fields read_fields(const std::string& message) {
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE(at < message.size());
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  Fields fields;
  while (at < message.size()) {
    const std::uint64_t key = varint();
    std::string value(8, '\0');
    if ((key & 7) == 0) {
      const std::uint64_t number = varint();
      std::memcpy(value.data(), &number, 8);
    } else {
      const std::uint64_t size = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : varint();
      REQUIRE(at + size <= message.size());
      value = message.substr(at, size);
      at += size;
    }
    fields.emplace(static_cast<int>(key >> 3), value);
  }
  return fields;
}
inline const std::string& one(const Fields& fields, int number) {
  REQUIRE(fields.count(number) == 1);
  return fields.find(number)->second;
}

/// What TensorBoard shows of a folder: by tag and step; a START voids what was at its step or
/// later.
struct Events {
  std::map<std::string, std::map<std::int64_t, double>> scalars;
  std::map<std::string, std::map<std::int64_t, Fields>> others;  ///< Summary.Value
  int files = 0, starts = 0;

  void erase_from(std::int64_t step) {
    for (auto& [tag, steps] : scalars) steps.erase(steps.lower_bound(step), steps.end());
    for (auto& [tag, steps] : others) steps.erase(steps.lower_bound(step), steps.end());
  }
};

inline void read_event(const std::string& record, Events& events) {
  const Fields event = read_fields(record);
  CHECK(from_bytes<double>(one(event, 1)) > 1.7e9);  // seconds: after 2023
  const std::int64_t step = event.count(2) ? from_bytes<std::int64_t>(one(event, 2)) : 0;
  if (event.count(7)) {
    CHECK(from_bytes<std::int64_t>(one(read_fields(one(event, 7)), 1)) == 1);
    ++events.starts;
    events.erase_from(step);
  }
  if (!event.count(5)) return;
  for (const auto& [number, value] : read_fields(one(event, 5))) {
    CHECK(number == 1);
    const Fields fields = read_fields(value);
    const std::string& tag = one(fields, 1);
    if (fields.count(2)) {
      const auto added = events.scalars[tag].emplace(step, from_bytes<float>(one(fields, 2)));
      CHECK_MESSAGE(added.second, tag, " has step ", step, " twice");
    } else {
      CHECK(events.others[tag].emplace(step, fields).second);
    }
  }
}

inline Events read_events(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  Events events;
  for (const std::filesystem::path& file : files) {
    CHECK(file.filename().string().starts_with("events.out.tfevents."));
    const std::vector<std::string> records = read_records(file);
    REQUIRE(!records.empty());
    CHECK(one(read_fields(records.front()), 3) == "brain.Event:2");
    for (const std::string& record : records) read_event(record, events);
    ++events.files;
  }
  return events;
}

}  // namespace drnas::test
