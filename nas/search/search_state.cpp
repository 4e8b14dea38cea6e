// SPDX-License-Identifier: MIT
#include "nas/search/search_state.h"

#include <algorithm>
#include <array>

#include "engine/parameters/checkpoint.h"
#include "engine/stream.h"

namespace drnas {
namespace {

constexpr const char *configuration_key = "configuration", *format_key = "format",
                     *format = "drnas-search-1";
constexpr const char *integers_name = "progress.integers", *loss_name = "progress.train_loss",
                     *memory_name = "progress.memory_peak", *kept_name = "kept";
constexpr std::size_t integer_count = 9;

/// The file, whose kind has been checked.
SafetensorsFile open_checkpoint(const std::filesystem::path& path) {
  SafetensorsFile file(path);
  const auto found = file.metadata().find(format_key);
  if (found == file.metadata().end() || found->second != format)
    throw Error(path.string() + ": not a search checkpoint (expected metadata format = " + format +
                ")");
  return file;
}

std::vector<std::int64_t> progress_integers(const SafetensorsFile& file) {
  auto integers = file.values<std::int64_t>(integers_name);
  if (integers.size() != integer_count)
    throw Error(file.path().string() + ": " + integers_name +
                " has an unexpected length, expected " + std::to_string(integer_count));
  return integers;
}

}  // namespace

void save_search(const std::filesystem::path& path, const std::string& configuration,
                 const SearchProgress& progress, const Supernet& supernet,
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
  const std::array<std::int64_t, integer_count> integers{
      progress.epoch,
      progress.step,
      progress.architecture_steps,
      progress.draws,
      download_scalar<std::int64_t>(p.adam_steps),
      t.images,
      t.top1,
      t.top5,
      progress.stage};
  writer.add<std::int64_t>(integers_name, {integer_count}, integers);
  const std::vector<std::uint8_t>& mask = supernet.options().kept;
  const std::vector<std::int64_t> kept(mask.begin(), mask.end());
  writer.add<std::int64_t>(kept_name, {static_cast<std::int64_t>(kept.size())}, kept);
  std::array<std::int64_t, 1 + memory_tag_count> memory{progress.memory.total};
  std::copy(progress.memory.by_tag.begin(), progress.memory.by_tag.end(), memory.begin() + 1);
  writer.add<std::int64_t>(memory_name, {1 + memory_tag_count}, memory);
  writer.add<double>(loss_name, {1}, std::array{t.loss});
  writer.write(path);
}

StoredStage stored_stage(const std::filesystem::path& path, const std::vector<Stage>& stages) {
  const SafetensorsFile file = open_checkpoint(path);
  const std::vector<std::int64_t> integers = progress_integers(file);
  StoredStage stored;
  stored.stage = integers[8];
  for (const std::int64_t kept : file.values<std::int64_t>(kept_name))
    stored.kept.push_back(kept != 0 ? 1 : 0);
  // A stage's last checkpoint stands at the first epoch of the next one.
  const std::int64_t epoch = integers[0];
  const bool known = stored.stage >= 1 && stored.stage <= static_cast<std::int64_t>(stages.size());
  const Stage* stage = known ? &stages[static_cast<std::size_t>(stored.stage - 1)] : nullptr;
  if (!stage || epoch < stage->first_epoch || epoch > stage->end_epoch())
    throw Error(path.string() + ": stage " + std::to_string(stored.stage) + " at epoch " +
                std::to_string(epoch + 1) + " does not match the run's stages");
  return stored;
}

SearchProgress load_search(const std::filesystem::path& path, const std::string& configuration,
                           const Supernet& supernet, MixingDistribution& distribution) {
  const SafetensorsFile file = open_checkpoint(path);
  if (file.metadata_at(configuration_key) != configuration)
    throw Error(path.string() + ": belongs to another configuration than the run's config.toml");
  const std::vector<std::int64_t> integers = progress_integers(file);
  const auto loss = file.values<double>(loss_name);
  const auto memory = file.values<std::int64_t>(memory_name);
  if (loss.size() != 1 || memory.size() != 1 + memory_tag_count)
    throw Error(path.string() +
                ": progress has an unexpected length, expected 1 sum and 8 byte counts");
  load_parameters(file, supernet.parameters());
  ArchitectureParameters& p = distribution.parameters();
  load_table(file, "alpha", p.alpha);
  load_table(file, "adam.first_moment", p.first_moment);
  load_table(file, "adam.second_moment", p.second_moment);
  SearchProgress progress;
  progress.epoch = integers[0];
  progress.stage = integers[8];
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
