// SPDX-License-Identifier: MIT
// Layout, little-endian: magic[8], version u32, CRC-32 u32 of all that follows, header length u64,
// JSON header, then train pixels, train labels (i32), test pixels, test labels.
#include "data/cache.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "engine/files.h"
#include "engine/parse_json.h"
#include "kernels/core/error.h"

namespace drnas::cache {
namespace {

using Json = nlohmann::json;

struct Prefix {
  char magic[8];
  std::uint32_t version;
  std::uint32_t crc;
  std::uint64_t header_bytes;
};
static_assert(sizeof(Prefix) == 24);

constexpr char magic[8] = {'D', 'R', 'N', 'A', 'S', 'S', 'E', 'T'};
// 2: JPEGs as libjpeg decodes them.
constexpr std::uint32_t version = 2;
constexpr std::size_t crc_start = 16;  // header_bytes is covered too

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

template <class T>
bool read_values(std::ifstream& in, std::vector<T>& values, std::size_t count, std::uint32_t& crc) {
  values.resize(count);
  const std::size_t bytes = count * sizeof(T);
  if (!in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(bytes))) {
    return false;
  }
  crc = checksum(bytes_of(values), crc);
  return true;
}

std::size_t pixel_count(std::int64_t images, int size) {
  return static_cast<std::size_t>(images) * static_cast<std::size_t>(size) *
         static_cast<std::size_t>(size) * 3;
}

/// Can images be normalised by these constants?
bool is_normal(const Dataset& dataset) {
  const auto finite = [](float value) { return std::isfinite(value); };
  const auto positive = [](float value) { return std::isfinite(value) && value > 0; };
  return std::all_of(dataset.mean.begin(), dataset.mean.end(), finite) &&
         std::all_of(dataset.deviation.begin(), dataset.deviation.end(), positive);
}

/// Labels are indices in the step's arithmetic: a crafted file must not choose them.
bool are_classes(const std::vector<std::int32_t>& labels, std::size_t classes) {
  return std::all_of(labels.begin(), labels.end(), [&](std::int32_t label) {
    return label >= 0 && static_cast<std::size_t>(label) < classes;
  });
}

/// True and `dataset` filled but for its pixels and labels, when the header belongs to `key`.
bool accept_header(const Json& header, const Key& key, Dataset& dataset) {
  if (header.at("name") != key.name || header.at("image_size") != key.image_size ||
      header.at("sources") != key.sources) {
    return false;
  }
  dataset.name = key.name;
  dataset.train.size = dataset.test.size = key.image_size;
  header.at("classes").get_to(dataset.classes);
  header.at("mean").get_to(dataset.mean);
  header.at("deviation").get_to(dataset.deviation);
  for (const auto& [name, set] : {std::pair{"train", &dataset.train}, {"test", &dataset.test}}) {
    if (!header.at(name).is_number_integer()) return false;
    header.at(name).get_to(set->count);
  }
  const bool counted =
      key.classes == 0 ? !dataset.classes.empty() : std::ssize(dataset.classes) == key.classes;
  return counted && is_normal(dataset);
}

std::optional<Dataset> read_or_throw(const std::filesystem::path& file, const Key& key) {
  if (!std::filesystem::is_regular_file(file)) return {};
  std::ifstream in(file, std::ios::binary);
  Prefix prefix{};
  if (!in.read(reinterpret_cast<char*>(&prefix), sizeof(prefix))) return {};
  if (std::memcmp(prefix.magic, magic, sizeof(magic)) != 0 || prefix.version != version) return {};
  // Lengths are compared with the file's before anything is allocated: they are not yet known to be
  // undamaged.
  const std::uint64_t total = std::filesystem::file_size(file);
  if (prefix.header_bytes > total - sizeof(prefix)) return {};
  std::uint32_t crc = checksum(std::as_bytes(std::span(&prefix.header_bytes, 1)));
  std::vector<char> text;
  if (!read_values(in, text, prefix.header_bytes, crc)) return {};
  Dataset dataset;
  if (!accept_header(parse_json<Json>({text.data(), text.size()}), key, dataset)) return {};
  std::uint64_t expected = sizeof(prefix) + prefix.header_bytes;
  for (const ImageSet* set : {&dataset.train, &dataset.test}) {
    if (set->count < 1 || set->count > static_cast<std::int64_t>(total)) return {};
    expected += pixel_count(set->count, set->size) + 4 * static_cast<std::uint64_t>(set->count);
  }
  if (expected != total) return {};
  for (ImageSet* set : {&dataset.train, &dataset.test}) {
    if (!read_values(in, set->pixels, pixel_count(set->count, set->size), crc)) return {};
    if (!read_values(in, set->labels, static_cast<std::size_t>(set->count), crc)) return {};
    if (!are_classes(set->labels, dataset.classes.size())) return {};
  }
  if (crc != prefix.crc) return {};
  return dataset;
}

}  // namespace

std::string fingerprint(const std::filesystem::path& folder,
                        const std::vector<std::filesystem::path>& files) {
  std::string text;
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;
  const std::string base = folder.string();
  for (const std::filesystem::path& file : files) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) {
      throw Error("cannot read " + file.string() + ": " + std::strerror(errno));
    }
    const std::string& name = file.native();
    text = name.starts_with(base) ? name.substr(base.size()) : name;
    text += '\n' + std::to_string(status.st_size) + ' ' + std::to_string(status.st_mtim.tv_sec) +
            ' ' + std::to_string(status.st_mtim.tv_nsec) + ' ' +
            std::to_string(status.st_ctim.tv_sec) + ' ' + std::to_string(status.st_ctim.tv_nsec) +
            '\n';
    crc = checksum(std::as_bytes(std::span(text)), crc);
    bytes += static_cast<std::uint64_t>(status.st_size);
  }
  return std::to_string(files.size()) + " files, " + std::to_string(bytes) + " bytes, crc " +
         std::to_string(crc);
}

std::optional<Dataset> read(const std::filesystem::path& file, const Key& key) {
  try {
    return read_or_throw(file, key);
  } catch (const std::exception&) {
    return {};  // whatever is wrong with a cache, the sources are there to make it again
  }
}

bool is_foreign(const std::filesystem::path& file) {
  std::error_code ignored;
  const auto status = std::filesystem::status(file, ignored);
  if (!std::filesystem::exists(status) || std::filesystem::is_directory(status)) return false;
  if (!std::filesystem::is_regular_file(status)) return true;
  std::ifstream in(file, std::ios::binary);
  char start[sizeof(magic)] = {};
  in.read(start, sizeof(start));
  return std::memcmp(start, magic, static_cast<std::size_t>(in.gcount())) != 0;
}

void write(const std::filesystem::path& file, const Key& key, const Dataset& dataset) {
  const Json header = {{"name", key.name},
                       {"image_size", key.image_size},
                       {"sources", key.sources},
                       {"classes", dataset.classes},
                       {"mean", dataset.mean},
                       {"deviation", dataset.deviation},
                       {"train", dataset.train.count},
                       {"test", dataset.test.count}};
  const std::string text = header.dump();
  Prefix prefix{};
  std::memcpy(prefix.magic, magic, sizeof(magic));
  prefix.version = version;
  prefix.header_bytes = text.size();
  std::vector<std::byte> packed;
  packed.reserve(sizeof(prefix) + text.size() + dataset.train.pixels.size() +
                 dataset.test.pixels.size() +
                 4 * (dataset.train.labels.size() + dataset.test.labels.size()));
  const auto append = [&packed](std::span<const std::byte> part) {
    packed.insert(packed.end(), part.begin(), part.end());
  };
  append(std::as_bytes(std::span(&prefix, 1)));
  append(std::as_bytes(std::span(text)));
  for (const ImageSet* set : {&dataset.train, &dataset.test}) {
    append(bytes_of(set->pixels));
    append(bytes_of(set->labels));
  }
  prefix.crc = checksum(std::span(packed).subspan(crc_start));
  std::memcpy(packed.data(), &prefix, sizeof(prefix));
  write_file_atomically(file, packed);
}

}  // namespace drnas::cache
