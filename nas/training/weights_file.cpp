// SPDX-License-Identifier: MIT
#include "nas/training/weights_file.h"

#include "engine/parameters/checkpoint.h"
#include "engine/parameters/state_archive.h"
#include "engine/parameters/torch_layout.h"

namespace drnas {
namespace {

constexpr const char *configuration_key = "configuration", *format_key = "format",
                     *weights_format = "pt";

bool is_format(const SafetensorsFile& file, const std::string& format) {
  const auto found = file.metadata().find(format_key);
  return found != file.metadata().end() && found->second == format &&
         file.metadata().count(configuration_key) != 0;
}

/// The file, which a training has written.
SafetensorsFile open_training_file(const std::filesystem::path& path) {
  SafetensorsFile file(path);
  if (!is_format(file, archive_format("training")) && !is_format(file, weights_format))
    throw Error(path.string() +
                ": not a training's file, expected the checkpoint.safetensors or "
                "weights.safetensors of one");
  return file;
}

}  // namespace

void save_weights(const std::filesystem::path& path, const std::string& configuration,
                  DerivedNetwork& network) {
  SafetensorsWriter writer;
  writer.set_metadata(format_key, weights_format);
  writer.set_metadata(configuration_key, configuration);
  export_weights(writer, network.parameters());
  writer.write(path);
}

std::string stored_configuration(const std::filesystem::path& path) {
  return open_training_file(path).metadata_at(configuration_key);
}

void require_network(const std::filesystem::path& path, DerivedNetwork& network) {
  const SafetensorsFile file = open_training_file(path);
  if (is_format(file, weights_format)) return require_weights(file, network.parameters());
  require_parameters(file, network.parameters());
}

void load_network(const std::filesystem::path& path, DerivedNetwork& network) {
  const SafetensorsFile file = open_training_file(path);
  if (is_format(file, weights_format)) return import_weights(file, network.parameters());
  load_parameters(file, network.parameters());
}

}  // namespace drnas
