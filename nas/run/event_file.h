// SPDX-License-Identifier: MIT
// Event files as TensorBoard reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace drnas {

/// CRC-32C as TFRecord stores it, so that a checksum over stored checksums still finds changes:
/// turned right by 15 bits, plus 0xa282ead8.
std::uint32_t masked_crc32c(std::string_view bytes);

/// Values of one step under their tags: tensorboard.Summary in protobuf's wire format.
class EventSummary {
 public:
  /// memory/peak_mib, as every run has it.
  void peak(std::int64_t bytes) {
    scalar("memory/peak_mib", static_cast<double>(bytes) / (1 << 20));
  }
  /// Stored as float32; may be NaN or infinite.
  void scalar(std::string_view tag, double value);
  /// Twelve bins of equal width from the least to the largest value; nothing without values.
  void histogram(std::string_view tag, std::span<const double> values);
  /// Shown as Markdown.
  void text(std::string_view tag, std::string_view text);

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// One event file: tensorboard.Event messages as TFRecords, each its length (uint64), the length's
/// masked CRC, the message, its masked CRC, all little-endian. What is written can be read at once.
class EventFile {
 public:
  /// Creates `folder` where it is missing and in it events.out.tfevents.SECONDS.drnas-NUMBER, which
  /// sorts after all that are there: readers go through them by name. Throws Error naming the file
  /// when it cannot be written, as do the other members.
  explicit EventFile(const std::filesystem::path& folder);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// A session begins: events of `step` and later ones in earlier files are void.
  void start(std::int64_t step);
  void write(std::int64_t step, const EventSummary& summary);

  const std::filesystem::path& path() const { return path_; }

 private:
  void append(std::string_view event);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace drnas
