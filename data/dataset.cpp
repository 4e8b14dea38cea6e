// SPDX-License-Identifier: MIT
#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "data/cache.h"
#include "data/readers.h"
#include "kernels/error.h"

namespace drnas {
namespace readers {
namespace {

/// Where to get each data set, and the command.
std::string instructions(const std::string& name) {
  if (name == "fashion-mnist") {
    return "install the Debian package: apt-get install dataset-fashion-mnist";
  }
  if (name == "mnist") {
    return "get its four files from http://yann.lecun.com/exdb/mnist: curl -O "
           "'https://storage.googleapis.com/cvdf-datasets/mnist/"
           "{train-images-idx3,train-labels-idx1,t10k-images-idx3,t10k-labels-idx1}-ubyte.gz'";
  }
  if (name == "cifar10" || name == "cifar100") {
    const std::string archive =
        name == "cifar10" ? "cifar-10-binary.tar.gz" : "cifar-100-binary.tar.gz";
    return "get " + archive +
           " from https://www.cs.toronto.edu/~kriz/cifar.html: curl "
           "https://www.cs.toronto.edu/~kriz/" +
           archive + " | tar xz";
  }
  return "expected train/<class>/<image> and test/<class>/<image>";
}

}  // namespace

void fail_missing(const Path& missing, const std::string& name) {
  const std::string what = missing.empty() ? "no folder given" : missing.string() + " not found";
  throw Error(name + ": " + what + "; " + instructions(name));
}

void compute_constants(const ImageSet& images, Dataset& dataset) {
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
    dataset.mean[c] = static_cast<float>(mean / 255);
    dataset.deviation[c] = static_cast<float>(variance > 0 ? std::sqrt(variance) / 255 : 1. / 255);
  }
}

}  // namespace readers

namespace {

namespace fs = std::filesystem;

/// Source files, and how to read them when there is no cache.
struct Source {
  fs::path folder;
  std::vector<fs::path> files;
  int image_size = 32;
  std::function<Dataset()> read;
};

/// The published constants of CIFAR (DrNAS's cifar10 values; cifar100 as in the NAS-Bench-201
/// code), or computed ones.
void set_constants(Dataset& dataset) {
  if (dataset.name == "cifar10") {
    dataset.mean = {0.49139968f, 0.48215827f, 0.44653124f};
    dataset.deviation = {0.24703233f, 0.24348505f, 0.26158768f};
  } else if (dataset.name == "cifar100") {
    dataset.mean = {0.5071f, 0.4865f, 0.4409f};
    dataset.deviation = {0.2673f, 0.2564f, 0.2762f};
  } else {
    readers::compute_constants(dataset.train, dataset);
  }
}

Source image_folder_source(const fs::path& folder, const std::string& name, int size) {
  readers::ImageFolder listing = readers::list_image_folder(folder, name);
  const std::size_t expected = name == "cifar10" ? 10 : name == "cifar100" ? 100 : 0;
  if (expected != 0 && listing.classes.size() != expected) {
    throw Error((folder / "train").string() + ": " + std::to_string(listing.classes.size()) +
                " classes, expected " + std::to_string(expected) + " for " + name);
  }
  Source source{folder, {}, size, {}};
  for (const auto* images : {&listing.train, &listing.test}) {
    for (const readers::FolderImage& image : *images) source.files.push_back(image.file);
  }
  source.read = [listing = std::move(listing), size] {
    return readers::read_image_folder(listing, size);
  };
  return source;
}

Source cifar_source(const fs::path& folder, const std::string& name) {
  readers::CifarFiles listing = readers::list_cifar(folder, name);
  Source source{folder, listing.train, 32, {}};
  source.files.push_back(listing.test);
  if (!listing.class_names.empty()) source.files.push_back(listing.class_names);
  source.read = [listing = std::move(listing)] { return readers::read_cifar(listing); };
  return source;
}

Source idx_source(const fs::path& folder, const std::string& name) {
  readers::IdxFiles listing = readers::list_idx(folder, name);
  Source source{
      folder,
      {listing.train_images, listing.train_labels, listing.test_images, listing.test_labels},
      32,
      {}};
  source.read = [listing = std::move(listing), name] {
    Dataset dataset = readers::read_idx(listing);
    dataset.classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    if (name == "fashion-mnist") {
      dataset.classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                         "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    }
    return dataset;
  };
  return source;
}

Source find_source(const DatasetOptions& options) {
  const std::string& name = options.name;
  fs::path folder = options.folder;
  if (folder.empty() && name == "fashion-mnist") folder = "/usr/share/datasets/fashion-mnist";
  if (folder.empty() || !fs::is_directory(folder)) readers::fail_missing(folder, name);
  if (name == "image-folder") return image_folder_source(folder, name, options.image_size);
  if (name == "fashion-mnist" || name == "mnist") return idx_source(folder, name);
  // The JPEG form of CIFAR: one folder a class.
  if (fs::is_directory(folder / "train")) return image_folder_source(folder, name, 32);
  return cifar_source(folder, name);
}

Dataset read_through_cache(const DatasetOptions& options) {
  const Source source = find_source(options);
  const cache::Key key{options.name, source.image_size,
                       cache::fingerprint(source.folder, source.files)};
  fs::path file = options.cache;
  // A default folder belongs to the system: nothing is written there unasked.
  if (file.empty() && !options.folder.empty()) {
    file = source.folder /
           ("drnas-" + options.name + "-" + std::to_string(source.image_size) + ".cache");
  }
  if (!file.empty()) {
    if (std::optional<Dataset> cached = cache::read(file, key)) return std::move(*cached);
  }
  Dataset dataset = source.read();
  dataset.name = options.name;
  set_constants(dataset);
  if (!file.empty() && options.write_cache) cache::write(file, key, dataset);
  return dataset;
}

}  // namespace

std::span<const std::uint8_t> ImageSet::image(std::int64_t i) const {
  const std::size_t bytes = static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 3;
  return std::span(pixels).subspan(static_cast<std::size_t>(i) * bytes, bytes);
}

std::span<const std::string> dataset_names() {
  static const std::vector<std::string> names = {"cifar10", "cifar100",     "fashion-mnist",
                                                 "mnist",   "image-folder", "synthetic"};
  return names;
}

Dataset read_dataset(const DatasetOptions& options) {
  const auto names = dataset_names();
  if (std::find(names.begin(), names.end(), options.name) == names.end()) {
    std::string known;
    for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
    throw Error("unknown data set '" + options.name + "', expected one of " + known);
  }
  if (options.image_size < 1 || options.image_size > 1024) {
    throw Error("image size " + std::to_string(options.image_size) + ", expected 1 to 1024");
  }
  if (options.name == "synthetic") {
    Dataset dataset = readers::make_synthetic(options);
    set_constants(dataset);
    return dataset;
  }
  try {
    return read_through_cache(options);
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot read " + error.path1().string() + ": " + error.code().message());
  }
}

}  // namespace drnas
