// SPDX-License-Identifier: MIT
// MNIST's IDX format: big-endian magic (0x803 images, 0x801 labels), one 32-bit length per
// dimension, then bytes.
#include <cstring>
#include <span>

#include "data/readers.h"
#include "engine/files.h"
#include "kernels/core/error.h"

namespace drnas::readers {
namespace {

constexpr std::uint32_t images_magic = 0x803, labels_magic = 0x801;
constexpr int grey_side = 28, border = 2, side = grey_side + 2 * border;
constexpr int class_count = 10;
/// Of a file. The largest known set of this kind, EMNIST's digits, has 240,000.
constexpr std::int64_t most_items = 300'000;

/// Magic and one length a dimension.
constexpr std::size_t header_bytes(std::uint32_t magic) { return 4 * (1 + (magic & 0xff)); }

std::uint32_t big_endian(const std::vector<std::byte>& bytes, std::size_t word) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | std::to_integer<std::uint32_t>(bytes[4 * word + i]);
  }
  return value;
}

std::string hex(std::uint32_t value) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += digits[value >> shift & 15];
  return text;
}

/// An IDX file of uint8: dimensions and elements.
struct IdxArray {
  std::vector<std::byte> bytes;
  std::vector<std::int64_t> dimensions;
  std::span<const std::uint8_t> elements;
};

/// How many elements the header promises. Throws Error where it is none of this kind.
std::int64_t promised_elements(const Path& file, std::uint32_t magic, IdxArray& array) {
  const std::size_t rank = magic & 0xff;
  if (array.bytes.size() < header_bytes(magic)) {
    throw Error(file.string() + ": truncated: " + std::to_string(array.bytes.size()) +
                " bytes, expected an IDX header of " + std::to_string(header_bytes(magic)));
  }
  if (big_endian(array.bytes, 0) != magic) {
    throw Error(file.string() + ": magic " + hex(big_endian(array.bytes, 0)) + ", expected " +
                hex(magic) + (rank == 3 ? " (IDX images)" : " (IDX labels)"));
  }
  array.dimensions.push_back(big_endian(array.bytes, 1));
  if (array.dimensions[0] > most_items) {
    throw Error(file.string() + ": " + std::to_string(array.dimensions[0]) +
                (rank == 3 ? " images" : " labels") + ", expected at most " +
                std::to_string(most_items));
  }
  std::int64_t elements = array.dimensions[0];
  for (std::size_t d = 1; d < rank; ++d) {
    array.dimensions.push_back(big_endian(array.bytes, 1 + d));
    if (array.dimensions[d] != grey_side) {
      throw Error(file.string() + ": images of side " + std::to_string(array.dimensions[d]) +
                  ", expected 28 x 28");
    }
    elements *= grey_side;
  }
  return elements;
}

/// The header first: a few packed bytes can hold any number of elements, so that no more are
/// unpacked than it promises.
IdxArray read_array(const Path& file, std::uint32_t magic) {
  const std::size_t header = header_bytes(magic);
  IdxArray array{read_gzip_file(file, header), {}, {}};
  const std::int64_t expected = promised_elements(file, magic, array);
  array.bytes = read_gzip_file(file, header + static_cast<std::size_t>(expected) + 1);
  const auto found = static_cast<std::int64_t>(array.bytes.size() - header);
  if (found > expected) {
    throw Error(file.string() + ": too long: more bytes after the header than the " +
                std::to_string(expected) + " that were expected");
  }
  if (found < expected) {
    throw Error(file.string() + ": truncated: " + std::to_string(found) +
                " bytes after the header, expected " + std::to_string(expected));
  }
  const auto* data = reinterpret_cast<const std::uint8_t*>(array.bytes.data()) + header;
  array.elements = {data, static_cast<std::size_t>(found)};
  return array;
}

ImageSet read_set(const Path& images_file, const Path& labels_file) {
  const IdxArray images = read_array(images_file, images_magic);
  const IdxArray labels = read_array(labels_file, labels_magic);
  ImageSet set;
  set.count = images.dimensions[0];
  set.size = side;
  if (labels.dimensions[0] != set.count) {
    throw Error(labels_file.string() + ": " + std::to_string(labels.dimensions[0]) +
                " labels, expected " + std::to_string(set.count) + " as " +
                images_file.filename().string() + " has images");
  }
  if (set.count == 0) throw Error(images_file.string() + ": no images, expected at least one");
  for (std::size_t i = 0; i < labels.elements.size(); ++i) {
    if (labels.elements[i] >= class_count) {
      throw Error(labels_file.string() + ": record " + std::to_string(i) + ": label " +
                  std::to_string(labels.elements[i]) + ", expected 0 to 9");
    }
  }
  set.labels.assign(labels.elements.begin(), labels.elements.end());
  set.pixels.resize(static_cast<std::size_t>(set.count * side * side * 3));
  const std::uint8_t* in = images.elements.data();
  for (std::int64_t row = 0; row < set.count * grey_side; ++row, in += grey_side) {
    const std::int64_t out_row = row / grey_side * side + row % grey_side + border;
    std::uint8_t* out = set.pixels.data() + (out_row * side + border) * 3;
    for (int x = 0; x < grey_side; ++x) std::memset(out + 3 * x, in[x], 3);
  }
  return set;
}

Path plain_or_gzip(const Path& folder, const char* stem, const DatasetInfo& info) {
  Path packed = folder / (std::string(stem) + ".gz");
  if (std::filesystem::exists(packed)) return packed;
  Path plain = folder / stem;
  if (std::filesystem::exists(plain)) return plain;
  fail_missing(packed, info);
}

}  // namespace

Source find_idx(const DatasetInfo& info, const DatasetOptions& options) {
  const Path folder = find_folder(info, options);
  const auto file = [&](const char* stem) { return plain_or_gzip(folder, stem, info); };
  Source source{folder,
                {file("train-images-idx3-ubyte"), file("train-labels-idx1-ubyte"),
                 file("t10k-images-idx3-ubyte"), file("t10k-labels-idx1-ubyte")},
                side,
                {}};
  source.read = [files = source.files, names = info.class_names] {
    Dataset dataset;
    dataset.train = read_set(files[0], files[1]);
    dataset.test = read_set(files[2], files[3]);
    dataset.classes = digits();
    if (!names.empty()) dataset.classes.assign(names.begin(), names.end());
    return dataset;
  };
  return source;
}

}  // namespace drnas::readers
