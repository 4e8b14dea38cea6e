// SPDX-License-Identifier: MIT
// Private to data/: a data set packed into one file, so that later runs neither decode nor open
// thousands of files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace drnas::cache {

/// What a cache must have been made from to be used: data set, image size and source files.
struct Key {
  std::string name;
  int image_size = 32;
  std::string sources;  ///< fingerprint()
  int classes = 0;      ///< 0: as many as it holds
};

/// Names (relative to `folder`), sizes and times of the source files, folded into one short line:
/// those of the last change of content, which copies may keep, and of anything, which they cannot.
/// Throws Error naming a file that cannot be examined.
std::string fingerprint(const std::filesystem::path& folder,
                        const std::vector<std::filesystem::path>& files);

/// The data set, or nothing when the file is missing, damaged, of another version, made from
/// something else, or holds what no data set does: labels out of range, constants that cannot
/// normalise.
std::optional<Dataset> read(const std::filesystem::path& file, const Key& key);

/// Is there something under this name that no cache is, and that must not be replaced? A folder
/// cannot be; a file that holds nothing may.
bool is_foreign(const std::filesystem::path& file);

/// Writes atomically. Throws Error naming the file where it cannot be written.
void write(const std::filesystem::path& file, const Key& key, const Dataset& dataset);

}  // namespace drnas::cache
