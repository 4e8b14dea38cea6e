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
  if (name == "imagenet16-120") {
    return "get ImageNet16 (train_data_batch_1 to _10, val_data) from "
           "https://image-net.org/download-images, then: tools/convert_imagenet16.py --data FOLDER "
           "--out DIR";
  }
  if (name == "svhn") {
    return "get its two files from http://ufldl.stanford.edu/housenumbers: curl -O "
           "'http://ufldl.stanford.edu/housenumbers/{train,test}_32x32.mat', then: "
           "tools/convert_svhn.py --data FOLDER --out DIR";
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
  std::vector<std::string> train = {}, test = {};  ///< files of an image folder's images
};

std::vector<std::string> file_names(const std::vector<readers::FolderImage>& images) {
  std::vector<std::string> names;
  names.reserve(images.size());
  for (const readers::FolderImage& image : images) names.push_back(image.file);
  return names;
}

std::vector<std::string> digits() { return {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}; }

/// The published constants (cifar10 and ImageNet as in DrNAS's code, cifar100 and imagenet16-120 as
/// in NAS-Bench-201's, svhn as DARTS's followers have it), or computed ones.
void set_constants(Dataset& dataset) {
  if (dataset.name == "cifar10") {
    dataset.mean = {0.49139968f, 0.48215827f, 0.44653124f};
    dataset.deviation = {0.24703233f, 0.24348505f, 0.26158768f};
  } else if (dataset.name == "cifar100") {
    dataset.mean = {0.5071f, 0.4865f, 0.4409f};
    dataset.deviation = {0.2673f, 0.2564f, 0.2762f};
  } else if (dataset.name == "imagenet16-120") {
    dataset.mean = {122.68f / 255, 116.66f / 255, 104.01f / 255};
    dataset.deviation = {63.22f / 255, 61.26f / 255, 65.09f / 255};
  } else if (dataset.name == "svhn") {
    dataset.mean = {0.4377f, 0.4438f, 0.4728f};
    dataset.deviation = {0.1980f, 0.2010f, 0.1970f};
  } else if (dataset.train.on_disk()) {
    dataset.mean = {0.485f, 0.456f, 0.406f};
    dataset.deviation = {0.229f, 0.224f, 0.225f};
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
  source.train = file_names(listing.train);
  source.test = file_names(listing.test);
  source.read = [listing = std::move(listing), size] {
    return readers::read_image_folder(listing, size);
  };
  return source;
}

Source record_source(const fs::path& folder, const std::string& name) {
  const bool cifar = name == "cifar10" || name == "cifar100";
  readers::RecordFiles listing =
      cifar ? readers::list_cifar(folder, name) : readers::list_converted(folder, name);
  Source source{folder, listing.train, listing.side, {}};
  source.files.push_back(listing.test);
  if (!listing.class_names.empty()) source.files.push_back(listing.class_names);
  source.read = [listing = std::move(listing), cifar, name] {
    Dataset dataset = readers::read_records(listing);
    dataset.classes = cifar ? readers::cifar_class_names(listing) : digits();
    if (name == "imagenet16-120") {
      dataset.classes.clear();
      for (int i = 1; i <= listing.classes; ++i) {
        dataset.classes.push_back("class " + std::to_string(i));
      }
    }
    return dataset;
  };
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
    dataset.classes = digits();
    if (name == "fashion-mnist") {
      dataset.classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                         "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    }
    return dataset;
  };
  return source;
}

fs::path find_folder(const DatasetOptions& options) {
  const std::string& name = options.name;
  fs::path folder = options.folder;
  if (folder.empty() && name == "fashion-mnist") folder = "/usr/share/datasets/fashion-mnist";
  if (folder.empty() || !fs::is_directory(folder)) readers::fail_missing(folder, name);
  return folder;
}

Source find_source(const DatasetOptions& options) {
  const std::string& name = options.name;
  const fs::path folder = find_folder(options);
  if (name == "image-folder") return image_folder_source(folder, name, options.image_size);
  if (name == "fashion-mnist" || name == "mnist") return idx_source(folder, name);
  // The JPEG form of CIFAR: one folder a class.
  const bool cifar = name == "cifar10" || name == "cifar100";
  if (cifar && fs::is_directory(folder / "train")) return image_folder_source(folder, name, 32);
  return record_source(folder, name);
}

Dataset refer_to_files(const DatasetOptions& options) {
  const fs::path folder = find_folder(options);
  Dataset dataset = readers::refer_to_image_folder(readers::list_image_folder(folder, options.name),
                                                   options.image_size);
  dataset.name = options.name;
  set_constants(dataset);
  return dataset;
}

Dataset read_through_cache(const DatasetOptions& options) {
  Source source = find_source(options);
  const cache::Key key{options.name, source.image_size,
                       cache::fingerprint(source.folder, source.files)};
  fs::path file = options.cache;
  // A default folder belongs to the system: nothing is written there unasked.
  if (file.empty() && !options.folder.empty()) {
    file = source.folder /
           ("drnas-" + options.name + "-" + std::to_string(source.image_size) + ".cache");
  }
  if (!file.empty()) {
    if (std::optional<Dataset> cached = cache::read(file, key)) {
      cached->train.files = std::move(source.train);
      cached->test.files = std::move(source.test);
      return std::move(*cached);
    }
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
  static const std::vector<std::string> names = {"cifar10",      "cifar100",       "fashion-mnist",
                                                 "mnist",        "imagenet16-120", "svhn",
                                                 "image-folder", "synthetic"};
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
    if (!options.decode && options.name == "image-folder") return refer_to_files(options);
    return read_through_cache(options);
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot read " + error.path1().string() + ": " + error.code().message());
  }
}

}  // namespace drnas
