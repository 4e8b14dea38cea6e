// SPDX-License-Identifier: MIT
#include "nas/search_state.h"

#include <algorithm>
#include <array>

#include "engine/checkpoint.h"
#include "engine/stream.h"

namespace drnas {
namespace {

constexpr const char *configuration_key = "configuration", *format_key = "format",
                     *format = "drnas-search-1";
constexpr const char *integers_name = "progress.integers", *loss_name = "progress.train_loss",
                     *memory_name = "progress.memory_peak";

}  // namespace

void save_search(const std::filesystem::path& path, const std::string& configuration,
                 const SearchProgress& progress, const Nb201Supernet& supernet,
                 const MixingDistribution& distribution) {
  SafetensorsWriter writer;
  writer.set_metadata(format_key, format);
  writer.set_metadata(configuration_key, configuration);
  save_parameters(writer, supernet.parameters());
  const ArchitectureParameters& p = distribution.parameters();
  save_table(writer, "alpha", p.alpha);
  save_table(writer, "adam.first_moment", p.first_moment);
  save_table(writer, "adam.second_moment", p.second_moment);
  const EpochTotals& t = progress.train;
  const std::array<std::int64_t, 8> integers{progress.epoch,
                                             progress.step,
                                             progress.architecture_steps,
                                             progress.draws,
                                             download_scalar<std::int64_t>(p.adam_steps),
                                             t.images,
                                             t.top1,
                                             t.top5};
  writer.add<std::int64_t>(integers_name, {8}, integers);
  std::array<std::int64_t, 1 + memory_tag_count> memory{progress.memory.total};
  std::copy(progress.memory.by_tag.begin(), progress.memory.by_tag.end(), memory.begin() + 1);
  writer.add<std::int64_t>(memory_name, {1 + memory_tag_count}, memory);
  writer.add<double>(loss_name, {1}, std::array{t.loss});
  writer.write(path);
}

SearchProgress load_search(const std::filesystem::path& path, const std::string& configuration,
                           const Nb201Supernet& supernet, MixingDistribution& distribution) {
  const SafetensorsFile file(path);
  const auto found = file.metadata().find(format_key);
  if (found == file.metadata().end() || found->second != format)
    throw Error(path.string() + ": not a search checkpoint (expected metadata format = " + format +
                ")");
  if (file.metadata_at(configuration_key) != configuration)
    throw Error(path.string() + ": belongs to another configuration than the run's config.toml");
  const auto integers = file.values<std::int64_t>(integers_name);
  const auto loss = file.values<double>(loss_name);
  const auto memory = file.values<std::int64_t>(memory_name);
  if (integers.size() != 8 || loss.size() != 1 || memory.size() != 1 + memory_tag_count)
    throw Error(
        path.string() +
        ": progress has an unexpected length, expected 8 integers, 1 sum and 8 byte counts");
  load_parameters(file, supernet.parameters());
  ArchitectureParameters& p = distribution.parameters();
  load_table(file, "alpha", p.alpha);
  load_table(file, "adam.first_moment", p.first_moment);
  load_table(file, "adam.second_moment", p.second_moment);
  SearchProgress progress;
  progress.epoch = integers[0];
  progress.step = integers[1];
  progress.architecture_steps = integers[2];
  progress.draws = static_cast<std::uint32_t>(integers[3]);
  upload_scalar(integers[4], p.adam_steps);
  progress.train = {loss[0], integers[5], integers[6], integers[7]};
  progress.memory.total = memory[0];
  std::copy(memory.begin() + 1, memory.end(), progress.memory.by_tag.begin());
  return progress;
}

}  // namespace drnas
