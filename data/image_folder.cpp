// SPDX-License-Identifier: MIT
#include <algorithm>
#include <exception>
#include <tuple>

#include "data/decode_image.h"
#include "data/readers.h"
#include "kernels/core/error.h"

namespace drnas::readers {
namespace {

namespace fs = std::filesystem;

/// One image.
struct FolderImage {
  std::string file;  // not a Path, which takes five times the memory
  std::int32_t label;
};
struct Listing {
  std::vector<std::string> classes;
  /// Ordered by file number, then class, then name, so that every prefix is as class-balanced as it
  /// can be. The number is the last group of digits in the name without its extension; without
  /// digits the rank among the class's names.
  std::vector<FolderImage> train, test;
};

bool is_hidden(const Path& path) { return path.filename().string().starts_with("."); }

std::vector<std::string> class_folders(const Path& folder) {
  std::vector<std::string> classes;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && !is_hidden(entry.path())) {
      classes.push_back(entry.path().filename().string());
    }
  }
  if (classes.empty()) throw Error(folder.string() + ": no classes, expected <class>/<image>");
  std::sort(classes.begin(), classes.end());
  return classes;
}

/// The last group of digits in `stem` (its lowest 18 digits), or `rank` where there is none.
std::int64_t file_number(const std::string& stem, std::int64_t rank) {
  constexpr const char* digits = "0123456789";
  const std::size_t last = stem.find_last_of(digits);
  if (last == std::string::npos) return rank;
  const std::size_t before = stem.find_last_not_of(digits, last);
  const std::size_t first = before == std::string::npos ? 0 : before + 1;
  const std::size_t length = std::min<std::size_t>(last + 1 - first, 18);
  return std::stoll(stem.substr(last + 1 - length, length));
}

std::vector<FolderImage> list_images(const Path& folder, const std::vector<std::string>& classes) {
  struct Entry {
    std::int64_t number;
    std::int32_t label;
    std::string name;
  };
  std::vector<Entry> entries;
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const Path class_folder = folder / classes[label];
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(class_folder)) {
      const Path& path = entry.path();
      if (is_image_name(path) && !is_hidden(path)) names.push_back(path.filename().string());
    }
    if (names.empty()) {
      throw Error(class_folder.string() + ": class without images, expected at least one");
    }
    std::sort(names.begin(), names.end());
    for (std::size_t rank = 0; rank < names.size(); ++rank) {
      const std::int64_t number =
          file_number(Path(names[rank]).stem().string(), static_cast<std::int64_t>(rank));
      entries.push_back({number, static_cast<std::int32_t>(label), names[rank]});
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.number, a.label, a.name) < std::tie(b.number, b.label, b.name);
  });
  std::vector<FolderImage> images;
  images.reserve(entries.size());
  for (const Entry& entry : entries) {
    const std::string& name = classes[static_cast<std::size_t>(entry.label)];
    images.push_back({(folder / name / entry.name).string(), entry.label});
  }
  return images;
}

void require_same_classes(const Path& test, const std::vector<std::string>& expected,
                          const std::vector<std::string>& found) {
  if (found == expected) return;
  for (const std::string& name : expected) {
    if (!std::binary_search(found.begin(), found.end(), name)) {
      throw Error((test / name).string() + ": class missing, expected the classes of train");
    }
  }
  for (const std::string& name : found) {
    if (!std::binary_search(expected.begin(), expected.end(), name)) {
      throw Error((test / name).string() + ": unknown class, expected the classes of train");
    }
  }
}

ImageSet refer_to(const std::vector<FolderImage>& images, int size) {
  ImageSet set;
  set.count = static_cast<std::int64_t>(images.size());
  set.size = size;
  set.files.reserve(images.size());
  set.labels.reserve(images.size());
  for (const FolderImage& image : images) {
    set.files.push_back(image.file);
    set.labels.push_back(image.label);
  }
  return set;
}

ImageSet decode_all(const std::vector<FolderImage>& images, int size) {
  ImageSet set = refer_to(images, size);
  const std::size_t image_bytes = static_cast<std::size_t>(size) * size * 3;
  set.pixels.resize(images.size() * image_bytes);
  std::exception_ptr failure;
  std::size_t failed = images.size();
  // An exception must not leave the loop; of several, the first in order is kept whatever the
  // thread count.
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < images.size(); ++i) {
    try {
      decode_image(images[i].file, size, set.pixels.data() + i * image_bytes);
    } catch (...) {
#pragma omp critical
      if (i < failed) {
        failed = i;
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
  return set;
}

/// Throws Error: folder missing, no classes, an empty class, classes of test that differ from
/// train's.
Listing list_folder(const Path& folder, const DatasetInfo& info) {
  const bool only_val = !fs::is_directory(folder / "test") && fs::is_directory(folder / "val");
  const Path train = folder / "train", test = folder / (only_val ? "val" : "test");
  for (const Path& part : {folder, train, test}) {
    if (!fs::is_directory(part)) fail_missing(part, info);
  }
  Listing listing;
  listing.classes = class_folders(train);
  if (info.classes != 0 && static_cast<int>(listing.classes.size()) != info.classes) {
    throw Error(train.string() + ": " + std::to_string(listing.classes.size()) +
                " classes, expected " + std::to_string(info.classes) + " for " +
                std::string(info.name));
  }
  require_same_classes(test, listing.classes, class_folders(test));
  listing.train = list_images(train, listing.classes);
  listing.test = list_images(test, listing.classes);
  return listing;
}

/// Decodes on all OpenMP threads; throws Error naming the first image that does not decode.
Dataset read_listing(const Listing& listing, int size, bool decode) {
  const auto read = decode ? decode_all : refer_to;
  Dataset dataset;
  dataset.classes = listing.classes;
  dataset.train = read(listing.train, size);
  dataset.test = read(listing.test, size);
  return dataset;
}

}  // namespace

Source find_image_folder(const DatasetInfo& info, const DatasetOptions& options) {
  const Path folder = find_folder(info, options);
  const int size = info.side != 0 ? info.side : options.image_size;
  const bool decode = options.decode || !info.folder_of_images;
  Source source{folder, {}, size, {}};
  Listing listing = list_folder(folder, info);
  if (decode) {
    for (const auto& [images, names] :
         {std::pair{&listing.train, &source.train}, {&listing.test, &source.test}}) {
      for (const FolderImage& image : *images) {
        source.files.push_back(image.file);
        names->push_back(image.file);
      }
    }
  }
  source.read = [listing = std::move(listing), size, decode] {
    return read_listing(listing, size, decode);
  };
  return source;
}

}  // namespace drnas::readers
