// SPDX-License-Identifier: MIT
#include "data/dataset_info.h"

#include <vector>

#include "data/readers.h"
#include "engine/choices.h"
#include "kernels/core/error.h"

namespace drnas {
namespace {

/// The published constants: cifar10 as in DrNAS's code, cifar100 and imagenet16-120 as in
/// NAS-Bench-201's, svhn as DARTS's followers have it.
constexpr ChannelConstants cifar10_constants{{0.49139968f, 0.48215827f, 0.44653124f},
                                             {0.24703233f, 0.24348505f, 0.26158768f}};
constexpr ChannelConstants cifar100_constants{{0.5071f, 0.4865f, 0.4409f},
                                              {0.2673f, 0.2564f, 0.2762f}};
constexpr ChannelConstants imagenet16_constants{{122.68f / 255, 116.66f / 255, 104.01f / 255},
                                                {63.22f / 255, 61.26f / 255, 65.09f / 255}};
constexpr ChannelConstants svhn_constants{{0.4377f, 0.4438f, 0.4728f}, {0.1980f, 0.2010f, 0.1970f}};

constexpr std::string_view fashion_classes[] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                "Bag",         "Ankle boot"};

const DatasetInfo known[] = {
    {"cifar10", 32, 10,
     "get cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html: curl "
     "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz | tar xz",
     "", cifar10_constants, false, readers::find_cifar},
    {"cifar100", 32, 100,
     "get cifar-100-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html: curl "
     "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz | tar xz",
     "", cifar100_constants, false, readers::find_cifar},
    {"fashion-mnist", 32, 10, "install the Debian package: apt-get install dataset-fashion-mnist",
     "/usr/share/datasets/fashion-mnist", std::nullopt, false, readers::find_idx, fashion_classes},
    {"mnist", 32, 10,
     "get its four files from http://yann.lecun.com/exdb/mnist: curl -O "
     "'https://storage.googleapis.com/cvdf-datasets/mnist/"
     "{train-images-idx3,train-labels-idx1,t10k-images-idx3,t10k-labels-idx1}-ubyte.gz'",
     "", std::nullopt, false, readers::find_idx},
    {"imagenet16-120", 16, 120,
     "get ImageNet16 (train_data_batch_1 to _10, val_data) from "
     "https://image-net.org/download-images, then: tools/data/convert_imagenet16.py --data FOLDER "
     "--out DIR",
     "", imagenet16_constants, false, readers::find_converted},
    {"svhn", 32, 10,
     "get its two files from http://ufldl.stanford.edu/housenumbers: curl -O "
     "'http://ufldl.stanford.edu/housenumbers/{train,test}_32x32.mat', then: "
     "tools/data/convert_svhn.py --data FOLDER --out DIR",
     "", svhn_constants, false, readers::find_converted},
    {"image-folder", 0, 0, "expected train/<class>/<image> and test/<class>/<image>", "",
     std::nullopt, true, readers::find_image_folder},
    {"synthetic", 0, 10, "", "", std::nullopt, false, readers::find_synthetic},
};

std::vector<const DatasetInfo*>& rows() {
  static std::vector<const DatasetInfo*> all = [] {
    std::vector<const DatasetInfo*> rows;
    for (const DatasetInfo& info : known) rows.push_back(&info);
    return rows;
  }();
  return all;
}

}  // namespace

std::span<const DatasetInfo* const> dataset_infos() { return rows(); }

void add_dataset(const DatasetInfo& info) {
  if (find_dataset_info(info.name))
    throw Error("data set '" + std::string(info.name) + "': the name is taken");
  rows().push_back(&info);
}

std::string dataset_names() {
  return choices(dataset_infos(), [](const DatasetInfo* info) { return info->name; });
}

const DatasetInfo* find_dataset_info(std::string_view name) {
  for (const DatasetInfo* info : rows())
    if (info->name == name) return info;
  return nullptr;
}

const DatasetInfo& dataset_info(std::string_view name) {
  if (const DatasetInfo* info = find_dataset_info(name)) return *info;
  throw Error("unknown data set '" + std::string(name) + "', expected " + dataset_names());
}

int expected_classes(const DatasetInfo& info, const std::filesystem::path& folder, int otherwise) {
  if (info.classes != 0) return info.classes;
  std::error_code ignored;
  int folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "train", ignored))
    if (entry.is_directory()) ++folders;
  return folders > 0 ? folders : otherwise;
}

}  // namespace drnas
