// SPDX-License-Identifier: MIT
// Small image files of known pixels, written by hand: no decoder's own encoder.
#pragma once

#include <zlib.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/data/data_files.h"

namespace drnas::test_files {

inline void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }
inline void append(Bytes& to, const std::string& text) {
  to.insert(to.end(), text.begin(), text.end());
}
inline Bytes big(std::uint32_t value, int count) {
  Bytes bytes;
  for (int i = count; i-- > 0;) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return bytes;
}
inline Bytes little(std::uint32_t value, int count) {
  const Bytes bytes = big(value, count);
  return {bytes.rbegin(), bytes.rend()};
}

/// Codes of any length, first bit highest (JPEG) or lowest (GIF).
class BitWriter {
 public:
  explicit BitWriter(bool highest_first) : highest_first_(highest_first) {}
  void put(std::uint32_t value, int count) {
    for (int i = 0; i < count; ++i)
      bits_.push_back((value >> (highest_first_ ? count - 1 - i : i)) & 1);
  }
  /// The bytes, filled up with `fill`.
  Bytes bytes(bool fill) const {
    Bytes all((bits_.size() + 7) / 8);
    for (std::size_t i = 0; i < 8 * all.size(); ++i) {
      const bool bit = i < bits_.size() ? bits_[i] : fill;
      all[i / 8] |= static_cast<std::uint8_t>(bit << (highest_first_ ? 7 - i % 8 : i % 8));
    }
    return all;
  }

 private:
  bool highest_first_;
  std::vector<bool> bits_;
};

struct JpegForm {
  int width = 8, height = 8;
  int adobe_transform = -1;  ///< of the Adobe segment; -1: there is none
  bool progressive = false;  ///< then `more_scans` of nothing new follow
  int more_scans = 0;
  bool too_many_codes = false;  ///< the table of DC promises 255 of each length
};

/// A JPEG of one block of 8 x 8 in each component, whose value is 128 + levels[component] there.
inline Bytes jpeg_file(const std::vector<int>& levels, const JpegForm& form = {}) {
  const auto components = static_cast<std::uint8_t>(levels.size());
  Bytes file = {0xff, 0xd8};
  const auto segment = [&file](std::uint8_t marker, const Bytes& content) {
    append(file, Bytes{0xff, marker});
    append(file, big(static_cast<std::uint32_t>(content.size()) + 2, 2));
    append(file, content);
  };
  if (form.adobe_transform >= 0)
    segment(0xee, {'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0,
                   static_cast<std::uint8_t>(form.adobe_transform)});
  Bytes quanta(65, 8);  // the DC coefficient is eight times the level
  quanta[0] = 0;
  segment(0xdb, quanta);
  Bytes frame = {8};
  append(frame, big(static_cast<std::uint32_t>(form.height), 2));
  append(frame, big(static_cast<std::uint32_t>(form.width), 2));
  frame.push_back(components);
  for (std::uint8_t c = 0; c < components; ++c)
    append(frame, Bytes{static_cast<std::uint8_t>(c + 1), 0x11, 0});
  segment(form.progressive ? 0xc2 : 0xc0, frame);
  Bytes dc(17, 0), ac(18, 0);
  dc[4] = 12;  // codes of four bits: the number of bits that follow
  for (std::uint8_t i = 0; i < 12; ++i) dc.push_back(i);
  if (form.too_many_codes) {
    std::fill_n(dc.begin() + 1, 16, std::uint8_t{255});
    dc.resize(17 + 16 * 255);
  }
  ac[0] = 0x10;
  ac[1] = 1;  // the code 0: end of block
  segment(0xc4, dc);
  segment(0xc4, ac);
  const auto scan = [&](std::uint8_t first, std::uint8_t last, const Bytes& data) {
    const std::uint8_t count = first > 0 ? 1 : components;
    Bytes header = {count};
    for (std::uint8_t c = 0; c < count; ++c)
      append(header, Bytes{static_cast<std::uint8_t>(c + 1), 0});
    append(header, Bytes{first, last, 0});
    segment(0xda, header);
    for (const std::uint8_t byte : data) {
      file.push_back(byte);
      if (byte == 0xff) file.push_back(0);
    }
  };
  BitWriter bits(true);
  for (const int level : levels) {
    const auto count = static_cast<int>(std::bit_width(static_cast<unsigned>(std::abs(level))));
    bits.put(static_cast<std::uint32_t>(count), 4);
    bits.put(static_cast<std::uint32_t>(level < 0 ? level + (1 << count) - 1 : level), count);
    if (!form.progressive) bits.put(0, 1);
  }
  scan(0, form.progressive ? 0 : 63, bits.bytes(true));
  for (int i = 0; i < form.more_scans; ++i) scan(1, 63, {0x7f});
  append(file, Bytes{0xff, 0xd9});
  return file;
}

inline void append_chunk(Bytes& file, const std::string& name, const Bytes& content) {
  append(file, big(static_cast<std::uint32_t>(content.size()), 4));
  Bytes covered(name.begin(), name.end());
  append(covered, content);
  append(file, covered);
  append(file, big(static_cast<std::uint32_t>(
                       crc32(0, covered.data(), static_cast<unsigned>(covered.size()))),
                   4));
}

struct PngForm {
  int width = 0, height = 0;
  int depth = 8, colour_type = 2;
  bool interlaced = false;
  Bytes palette = {}, transparency = {},
        text = {};  ///< contents of PLTE, tRNS and zTXt; empty: no such chunk
};

/// `samples`: [height, width, channels].
inline Bytes png_file(const PngForm& form, const std::vector<std::uint32_t>& samples) {
  const int channels = std::array{1, 0, 3, 1, 2, 0, 4}[static_cast<std::size_t>(form.colour_type)];
  // First column and row and the steps of the passes.
  const std::vector<std::array<int, 4>> passes =
      form.interlaced
          ? std::vector<std::array<int, 4>>{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                            {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
          : std::vector<std::array<int, 4>>{{0, 0, 1, 1}};
  Bytes raw;
  for (const auto& [left, top, across, down] : passes) {
    for (int y = top; y < form.height && left < form.width; y += down) {
      BitWriter row(true);
      for (int x = left; x < form.width; x += across)
        for (int c = 0; c < channels; ++c)
          row.put(samples[static_cast<std::size_t>((y * form.width + x) * channels + c)],
                  form.depth);
      raw.push_back(0);  // no filter
      append(raw, row.bytes(false));
    }
  }
  uLongf packed_size = compressBound(raw.size());
  Bytes packed(packed_size);
  REQUIRE(compress2(packed.data(), &packed_size, raw.data(), raw.size(), 6) == Z_OK);
  packed.resize(packed_size);
  Bytes file = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, header;
  append(header, big(static_cast<std::uint32_t>(form.width), 4));
  append(header, big(static_cast<std::uint32_t>(form.height), 4));
  append(header, Bytes{static_cast<std::uint8_t>(form.depth),
                       static_cast<std::uint8_t>(form.colour_type), 0, 0, form.interlaced});
  append_chunk(file, "IHDR", header);
  if (!form.text.empty()) append_chunk(file, "zTXt", form.text);
  if (!form.palette.empty()) append_chunk(file, "PLTE", form.palette);
  if (!form.transparency.empty()) append_chunk(file, "tRNS", form.transparency);
  append_chunk(file, "IDAT", packed);
  append_chunk(file, "IEND", {});
  return file;
}

inline Bytes pnm_file(const std::string& header, const Bytes& samples) {
  Bytes file(header.begin(), header.end());
  append(file, samples);
  return file;
}

/// 24 bits a pixel, rows from the bottom up, blue first.
inline Bytes bmp_file(int width, int height, const Bytes& rgb) {
  Bytes file = {'B', 'M'};
  const int stride = (3 * width + 3) / 4 * 4;
  for (const std::uint32_t value :
       {static_cast<std::uint32_t>(54 + stride * height), 0u, 54u, 40u,
        static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height)})
    append(file, little(value, 4));
  append(file, Bytes{1, 0, 24, 0});
  file.resize(54);
  for (int y = height; y-- > 0;) {
    Bytes row(static_cast<std::size_t>(stride));
    for (int i = 0; i < 3 * width; ++i)
      row[static_cast<std::size_t>(i)] =
          rgb[static_cast<std::size_t>(3 * width * y + i / 3 * 3 + 2 - i % 3)];
    append(file, row);
  }
  return file;
}

/// Runs of one pixel where `runs`, from the top down, blue first.
inline Bytes tga_file(int width, int height, const Bytes& rgb, bool runs) {
  Bytes file(12, 0);
  file[2] = runs ? 10 : 2;
  append(file, little(static_cast<std::uint32_t>(width), 2));
  append(file, little(static_cast<std::uint32_t>(height), 2));
  append(file, Bytes{24, 0x20});
  for (std::size_t i = 0; i < rgb.size(); i += 3) {
    if (runs) file.push_back(0x80);
    append(file, Bytes{rgb[i + 2], rgb[i + 1], rgb[i]});
  }
  return file;
}

/// At most 200 pixels, pixel i in colour i of a palette that is `rgb` itself.
inline Bytes gif_file(int width, int height, const Bytes& rgb) {
  Bytes file;
  append(file, "GIF89a");
  append(file, little(static_cast<std::uint32_t>(width), 2));
  append(file, little(static_cast<std::uint32_t>(height), 2));
  append(file, Bytes{0xf7, 0, 0});
  Bytes palette = rgb;
  palette.resize(768);
  append(file, palette);
  append(file, Bytes{0x2c, 0, 0, 0, 0});
  append(file, little(static_cast<std::uint32_t>(width), 2));
  append(file, little(static_cast<std::uint32_t>(height), 2));
  append(file, Bytes{0, 8});
  BitWriter codes(false);
  codes.put(256, 9);  // clear
  for (int i = 0; i < width * height; ++i) codes.put(static_cast<std::uint32_t>(i), 9);
  codes.put(257, 9);  // end
  const Bytes data = codes.bytes(false);
  for (std::size_t i = 0; i < data.size(); i += 255) {
    const std::size_t count = std::min<std::size_t>(255, data.size() - i);
    file.push_back(static_cast<std::uint8_t>(count));
    file.insert(file.end(), data.begin() + static_cast<std::ptrdiff_t>(i),
                data.begin() + static_cast<std::ptrdiff_t>(i + count));
  }
  append(file, Bytes{0, 0x3b});
  return file;
}

/// Three planes of 8 bits, not packed.
inline Bytes psd_file(int width, int height, const Bytes& rgb) {
  Bytes file;
  append(file, "8BPS");
  append(file, Bytes{0, 1, 0, 0, 0, 0, 0, 0, 0, 3});
  append(file, big(static_cast<std::uint32_t>(height), 4));
  append(file, big(static_cast<std::uint32_t>(width), 4));
  append(file, Bytes{0, 8, 0, 3});
  file.resize(file.size() + 14);  // no colours, resources and layers; compression 0
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t i = c; i < rgb.size(); i += 3) file.push_back(rgb[i]);
  return file;
}

/// One packet of red, green and blue, not packed.
inline Bytes pic_file(int width, int height, const Bytes& rgb) {
  Bytes file = {0x53, 0x80, 0xf6, 0x34};
  file.resize(88);
  append(file, "PICT");
  append(file, big(static_cast<std::uint32_t>(width), 2));
  append(file, big(static_cast<std::uint32_t>(height), 2));
  append(file, Bytes{0, 0, 0, 0, 0, 3, 0, 0, 0, 8, 0, 0xe0});
  append(file, rgb);
  return file;
}

}  // namespace drnas::test_files
