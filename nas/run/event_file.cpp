// SPDX-License-Identifier: MIT
// Field numbers are those of tensorboard/compat/proto: event.proto, summary.proto, tensor.proto.
#include "nas/run/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "engine/crc32c.h"
#include "engine/descriptor.h"
#include "kernels/core/error.h"

namespace drnas {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view name_start = "events.out.tfevents.";

template <class Unsigned>
std::string little_endian(Unsigned value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof value; ++i)
    bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

/// A protobuf message under construction: each field is a key (number and wire type) and a value.
class Message {
 public:
  Message& integer(int field, std::uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& real(int field, double value) {
    key(field, 1);
    bytes_ += little_endian(std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real(int field, float value) {
    key(field, 5);
    bytes_ += little_endian(std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  /// A string, or a message inside this one.
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  /// Packed.
  Message& reals(int field, std::span<const double> values) {
    std::string packed;
    for (const double v : values) packed += little_endian(std::bit_cast<std::uint64_t>(v));
    return bytes(field, packed);
  }
  const std::string& text() const { return bytes_; }

 private:
  void key(int field, unsigned wire_type) { varint(static_cast<unsigned>(field) << 3 | wire_type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

/// HistogramProto: min 1, max 2, num 3, sum 4, sum_squares 5, bucket_limit 6, bucket 7.
std::string histogram_message(std::span<const double> values) {
  constexpr int bins = 12;
  const auto [least, largest] = std::minmax_element(values.begin(), values.end());
  const double low = *least, width = (*largest - low) / bins;
  std::vector<double> limits(bins), counts(bins, 0.0);
  for (int i = 0; i < bins; ++i) limits[i] = i + 1 == bins ? *largest : low + width * (i + 1);
  for (const double v : values) {
    const auto bin = std::lower_bound(limits.begin(), limits.end(), v) - limits.begin();
    ++counts[static_cast<std::size_t>(std::min<std::ptrdiff_t>(bin, bins - 1))];
  }
  return Message()
      .real(1, low)
      .real(2, *largest)
      .real(3, static_cast<double>(values.size()))
      .real(4, std::accumulate(values.begin(), values.end(), 0.0))
      .real(5, std::inner_product(values.begin(), values.end(), values.begin(), 0.0))
      .reals(6, limits)
      .reals(7, counts)
      .text();
}

double wall_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

/// wall_time 1, step 2.
Message event(std::int64_t step) {
  Message message;
  message.real(1, wall_time());
  if (step != 0) message.integer(2, static_cast<std::uint64_t>(step));
  return message;
}

/// A name after all event files of the folder, whatever the clock says.
std::string next_name(const fs::path& folder) {
  long long seconds = static_cast<long long>(wall_time());
  int files = 0;
  std::error_code code;
  fs::directory_iterator entries(folder, code);
  if (code) throw Error("cannot read " + folder.string() + ": " + code.message());
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(name_start)) continue;
    ++files;
    seconds = std::max(seconds, std::atoll(name.c_str() + name_start.size()));
  }
  char number[16];
  std::snprintf(number, sizeof number, "%04d", files + 1);
  return std::string(name_start) + std::to_string(seconds) + ".drnas-" + number;
}

}  // namespace

std::uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(std::as_bytes(std::span(bytes))), 15) + 0xa282ead8u;
}

// Summary: value 1. Value: tag 1, simple_value 2, histo 5, tensor 8, metadata 9.
void EventSummary::scalar(std::string_view tag, double value) {
  bytes_ +=
      Message().bytes(1, Message().bytes(1, tag).real(2, static_cast<float>(value)).text()).text();
}

void EventSummary::histogram(std::string_view tag, std::span<const double> values) {
  if (values.empty()) return;
  bytes_ +=
      Message().bytes(1, Message().bytes(1, tag).bytes(5, histogram_message(values)).text()).text();
}

void EventSummary::text(std::string_view tag, std::string_view text) {
  // TensorProto: dtype 1 (7: string), tensor_shape 2 (none: a scalar), string_val 8.
  const std::string tensor = Message().integer(1, 7).bytes(2, "").bytes(8, text).text();
  // SummaryMetadata: plugin_data 1 (plugin_name 1), data_class 4 (2: tensor).
  const std::string metadata =
      Message().bytes(1, Message().bytes(1, "text").text()).integer(4, 2).text();
  bytes_ +=
      Message().bytes(1, Message().bytes(1, tag).bytes(8, tensor).bytes(9, metadata).text()).text();
}

EventFile::EventFile(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw Error("cannot create " + folder.string() + ": " + code.message());
  path_ = folder / next_name(folder);
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_with_errno("write", path_, errno);
  append(event(0).bytes(3, "brain.Event:2").text());  // file_version 3
}

EventFile::~EventFile() { ::close(descriptor_); }

void EventFile::start(std::int64_t step) {
  append(event(step).bytes(7, Message().integer(1, 1).text()).text());  // session_log 7: START
}

void EventFile::write(std::int64_t step, const EventSummary& summary) {
  append(event(step).bytes(5, summary.bytes()).text());  // summary 5
}

void EventFile::append(std::string_view event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  const std::string record = length + little_endian(masked_crc32c(length)) + std::string(event) +
                             little_endian(masked_crc32c(event));
  const int code = write_all(descriptor_, std::as_bytes(std::span(record)));
  if (code != 0) fail_with_errno("write", path_, code);
}

}  // namespace drnas
