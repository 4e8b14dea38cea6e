// SPDX-License-Identifier: MIT
#include "nas/training/train_state.h"

#include <algorithm>
#include <array>

#include "engine/parameters/checkpoint.h"
#include "engine/parameters/torch_layout.h"

namespace drnas {
namespace {

constexpr const char *configuration_key = "configuration", *format_key = "format",
                     *format = "drnas-train-1", *weights_format = "pt";
constexpr const char *integers_name = "progress.integers", *reals_name = "progress.reals",
                     *memory_name = "progress.memory_peak";
constexpr std::size_t integer_count = 7, real_count = 5, memory_count = 1 + memory_tag_count;

SafetensorsWriter new_file(const char* kind, const std::string& configuration) {
  SafetensorsWriter writer;
  writer.set_metadata(format_key, kind);
  writer.set_metadata(configuration_key, configuration);
  return writer;
}

bool is_format(const SafetensorsFile& file, const char* kind) {
  const auto found = file.metadata().find(format_key);
  return found != file.metadata().end() && found->second == kind &&
         file.metadata().count(configuration_key) != 0;
}

/// The file, which a training has written.
SafetensorsFile open_training_file(const std::filesystem::path& path) {
  SafetensorsFile file(path);
  if (!is_format(file, format) && !is_format(file, weights_format))
    throw Error(path.string() +
                ": not a training's file, expected the checkpoint.safetensors or "
                "weights.safetensors of one");
  return file;
}

template <class T>
std::vector<T> values_of(const SafetensorsFile& file, const char* name, std::size_t count) {
  std::vector<T> values = file.values<T>(name);
  if (values.size() != count)
    throw Error(file.path().string() + ": " + name + " has " + std::to_string(values.size()) +
                " values, expected " + std::to_string(count));
  return values;
}

}  // namespace

void save_training(const std::filesystem::path& path, const std::string& configuration,
                   const TrainProgress& progress, DerivedNetwork& network) {
  SafetensorsWriter writer = new_file(format, configuration);
  save_parameters(writer, network.parameters());
  const EpochTotals& t = progress.train;
  const std::array<std::int64_t, integer_count> integers{
      progress.epoch, progress.step, progress.steps,      t.images,
      t.top1,         t.top5,        progress.test.images};
  writer.add<std::int64_t>(integers_name, {integer_count}, integers);
  const std::array<double, real_count> reals{t.loss, progress.test.loss, progress.test.top1,
                                             progress.test.top5, progress.best_top1};
  writer.add<double>(reals_name, {real_count}, reals);
  std::array<std::int64_t, memory_count> memory{progress.memory.total};
  std::copy(progress.memory.by_tag.begin(), progress.memory.by_tag.end(), memory.begin() + 1);
  writer.add<std::int64_t>(memory_name, {memory_count}, memory);
  writer.write(path);
}

TrainProgress load_training(const std::filesystem::path& path, const std::string& configuration,
                            DerivedNetwork& network) {
  const SafetensorsFile file(path);
  if (!is_format(file, format))
    throw Error(path.string() +
                ": not a training's checkpoint (expected metadata format = " + format + ")");
  if (file.metadata_at(configuration_key) != configuration)
    throw Error(path.string() + ": belongs to another configuration than the run's config.toml");
  const auto integers = values_of<std::int64_t>(file, integers_name, integer_count);
  const auto reals = values_of<double>(file, reals_name, real_count);
  const auto memory = values_of<std::int64_t>(file, memory_name, memory_count);
  load_parameters(file, network.parameters());
  TrainProgress progress;
  progress.epoch = integers[0];
  progress.step = integers[1];
  progress.steps = static_cast<std::uint32_t>(integers[2]);
  progress.train = {reals[0], integers[3], integers[4], integers[5]};
  progress.test = {reals[1], reals[2], reals[3], integers[6]};
  progress.best_top1 = reals[4];
  progress.memory.total = memory[0];
  std::copy(memory.begin() + 1, memory.end(), progress.memory.by_tag.begin());
  return progress;
}

void save_weights(const std::filesystem::path& path, const std::string& configuration,
                  DerivedNetwork& network) {
  SafetensorsWriter writer = new_file(weights_format, configuration);
  export_weights(writer, network.parameters());
  writer.write(path);
}

std::string stored_configuration(const std::filesystem::path& path) {
  return open_training_file(path).metadata_at(configuration_key);
}

void load_network(const std::filesystem::path& path, DerivedNetwork& network) {
  const SafetensorsFile file = open_training_file(path);
  if (is_format(file, format)) return load_parameters(file, network.parameters());
  import_weights(file, network.parameters());
}

}  // namespace drnas
