// SPDX-License-Identifier: MIT
// The named trainings: one row a preset.
#pragma once

#include <span>
#include <string_view>

#include "nas/options/train_options.h"
#include "nas/space/search_space.h"

namespace drnas {

enum class PresetUse { standard, imagenet, quick };

struct TrainPreset {
  std::string_view name, summary;
  std::string_view space;  ///< whose genotypes it trains
  PresetUse use;
  TrainOptions (*options)();  ///< with a genotype of the space
};
std::span<const TrainPreset> train_presets();
/// Null for an unknown name.
const TrainPreset* find_train_preset(std::string_view name);
/// Of a space; where it has none of this use, the standard one.
const TrainPreset& train_preset_for(const SearchSpace& space, PresetUse use);

}  // namespace drnas
