// SPDX-License-Identifier: MIT
// What is known of each data set before it is read: one row a data set, in dataset_info.cpp.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace drnas {

struct DatasetOptions;
namespace readers {
struct Source;
}

/// Per channel, of pixel / 255.
struct ChannelConstants {
  std::array<float, 3> mean, deviation;
};

struct DatasetInfo {
  std::string_view name;                      ///< as --dataset takes it
  int side;                                   ///< of its images in pixels; 0: --image-size chooses
  int classes;                                ///< 0: as many as its folder holds
  std::string_view how_to_get;                ///< where from and by which command, for messages
  std::string_view default_folder;            ///< where its package puts it; empty: nowhere
  std::optional<ChannelConstants> constants;  ///< published ones; none: of the training images
  bool folder_of_images;  ///< images are files of any size, which can be decoded batch by batch
  /// Lists the source files and says how to read them. Throws Error naming what is missing, with
  /// how_to_get.
  readers::Source (*find)(const DatasetInfo&, const DatasetOptions&);
  std::span<const std::string_view> class_names = {};  ///< where its files hold none
};

/// All rows, in the order in which help and messages list them.
std::span<const DatasetInfo* const> dataset_infos();
/// Adds a program's own row, which lives as long as the program, before options are read. Throws
/// Error where the name is taken.
void add_dataset(const DatasetInfo& info);
/// "cifar10, cifar100, ..., image-folder or synthetic".
std::string dataset_names();
/// Null for an unknown name.
const DatasetInfo* find_dataset_info(std::string_view name);
/// Throws Error that lists the known names.
const DatasetInfo& dataset_info(std::string_view name);

/// Classes of a data set that has not been read: where its row does not say, the class folders in
/// `folder`/train are counted; `otherwise` where there are none.
int expected_classes(const DatasetInfo& info, const std::filesystem::path& folder, int otherwise);

}  // namespace drnas
