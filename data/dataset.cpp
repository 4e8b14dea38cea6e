// SPDX-License-Identifier: MIT
#include "data/dataset.h"

#include <algorithm>
#include <cmath>

#include "data/cache.h"
#include "data/readers.h"
#include "engine/files.h"
#include "kernels/core/error.h"

namespace drnas {
namespace readers {

void fail_missing(const Path& missing, const DatasetInfo& info) {
  const std::string what = missing.empty() ? "no folder given" : missing.string() + " not found";
  throw Error(std::string(info.name) + ": " + what + "; " + std::string(info.how_to_get));
}

Path find_folder(const DatasetInfo& info, const DatasetOptions& options) {
  const Path folder = options.folder.empty() ? Path(info.default_folder) : options.folder;
  if (folder.empty() || !std::filesystem::is_directory(folder)) fail_missing(folder, info);
  return folder;
}

std::vector<std::string> numbered_classes(int count, int first) {
  std::vector<std::string> names;
  for (int i = first; i < first + count; ++i) names.push_back("class " + std::to_string(i));
  return names;
}

std::vector<std::string> digits() { return {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}; }

ChannelConstants constants_of(const ImageSet& images) {
  ChannelConstants constants{};
  std::uint64_t sum[3] = {0, 0, 0}, squares[3] = {0, 0, 0};
  for (std::size_t i = 0; i < images.pixels.size(); i += 3) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::uint64_t v = images.pixels[i + c];
      sum[c] += v;
      squares[c] += v * v;
    }
  }
  const double n = static_cast<double>(images.pixels.size() / 3);
  for (std::size_t c = 0; c < 3; ++c) {
    const double mean = static_cast<double>(sum[c]) / n;
    const double variance = std::max(0.0, static_cast<double>(squares[c]) / n - mean * mean);
    constants.mean[c] = static_cast<float>(mean / 255);
    constants.deviation[c] =
        static_cast<float>(variance > 0 ? std::sqrt(variance) / 255 : 1. / 255);
  }
  return constants;
}

}  // namespace readers

namespace {

namespace fs = std::filesystem;

/// ImageNet's, as in DrNAS's code: images on disk are too many to be read for their own.
constexpr ChannelConstants imagenet_constants{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};

Dataset read_source(const readers::Source& source, const DatasetInfo& info) {
  Dataset dataset = source.read();
  dataset.name = info.name;
  const ChannelConstants constants = info.constants ? *info.constants
                                     : dataset.train.on_disk()
                                         ? imagenet_constants
                                         : readers::constants_of(dataset.train);
  dataset.mean = constants.mean;
  dataset.deviation = constants.deviation;
  return dataset;
}

/// Empty: no cache. A default folder belongs to the system: nothing is written there unasked.
fs::path cache_file(const readers::Source& source, const DatasetOptions& options) {
  if (source.files.empty()) return {};
  if (!options.cache.empty() || options.folder.empty()) return options.cache;
  return source.folder /
         ("drnas-" + options.name + "-" + std::to_string(source.image_size) + ".cache");
}

/// Has the cache an image for each file of an image folder?
bool fits(const ImageSet& cached, const std::vector<std::string>& files) {
  return files.empty() || cached.count == std::ssize(files);
}

Dataset read_through_cache(const DatasetInfo& info, const DatasetOptions& options) {
  readers::Source source = info.find(info, options);
  const fs::path file = cache_file(source, options);
  if (file.empty()) return read_source(source, info);
  const cache::Key key{options.name, source.image_size,
                       cache::fingerprint(source.folder, source.files), info.classes};
  std::optional<Dataset> cached = cache::read(file, key);
  if (cached && fits(cached->train, source.train) && fits(cached->test, source.test)) {
    cached->train.files = std::move(source.train);
    cached->test.files = std::move(source.test);
    return std::move(*cached);
  }
  if (options.write_cache && cache::is_foreign(file))
    throw Error(file.string() + ": is no packed data set of drnas and would be replaced by one, " +
                "expected another --cache");
  Dataset dataset = read_source(source, info);
  try {
    if (options.write_cache) cache::write(file, key, dataset);
  } catch (const std::exception& failure) {
    dataset.note =
        std::string("no packed data set is kept, images are decoded each time: ") + failure.what();
  }
  return dataset;
}

}  // namespace

std::span<const std::uint8_t> ImageSet::image(std::int64_t i) const {
  const std::size_t bytes = static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 3;
  return std::span(pixels).subspan(static_cast<std::size_t>(i) * bytes, bytes);
}

std::uint32_t content_checksum(const Dataset& dataset) {
  std::uint32_t crc = 0;
  for (const ImageSet* set : {&dataset.train, &dataset.test}) {
    crc = checksum(std::as_bytes(std::span(set->pixels)), crc);
    crc = checksum(std::as_bytes(std::span(set->labels)), crc);
    if (!set->on_disk()) continue;
    for (const fs::path file : set->files) {
      const std::string name = (file.parent_path().filename() / file.filename()).string() + '\n';
      crc = checksum(std::as_bytes(std::span(name)), crc);
    }
  }
  return crc;
}

Dataset read_dataset(const DatasetOptions& options) {
  const DatasetInfo& info = dataset_info(options.name);
  if (options.image_size < 1 || options.image_size > 1024) {
    throw Error("image size " + std::to_string(options.image_size) + ", expected 1 to 1024");
  }
  try {
    return read_through_cache(info, options);
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot read " + error.path1().string() + ": " + error.code().message());
  }
}

}  // namespace drnas
