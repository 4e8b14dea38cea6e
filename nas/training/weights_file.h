// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

#include "nas/space/derived_network.h"

namespace drnas {

/// Weights and running statistics of a training, for PyTorch: see export_weights(). The metadata
/// hold the configuration, so that --evaluate needs no other file.
void save_weights(const std::filesystem::path& path, const std::string& configuration,
                  DerivedNetwork& network);

/// The configuration that a training's checkpoint or weights file holds. Throws Error naming the
/// file when it is missing or neither.
std::string stored_configuration(const std::filesystem::path& path);
/// Throws Error naming file and tensor where the file's are not those of the network, which may be
/// a planned one.
void require_network(const std::filesystem::path& path, DerivedNetwork& network);
/// Weights and running statistics from a file of either kind; the same errors.
void load_network(const std::filesystem::path& path, DerivedNetwork& network);

}  // namespace drnas
