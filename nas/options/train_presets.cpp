// SPDX-License-Identifier: MIT
#include "nas/options/train_presets.h"

#include <algorithm>
#include <array>

namespace drnas {
namespace {

constexpr const char* drnas_nb201_cell =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2"
    "|";
/// How NAS-Bench-201 trains its cells, and the cell that DrNAS finds there.
TrainOptions nb201_preset() {
  TrainOptions o;
  o.genotype = drnas_nb201_cell;
  return o;
}

/// Minutes on two cores, on real images from a distribution's package.
TrainOptions quick_preset() {
  TrainOptions o = nb201_preset();
  o.dataset = "fashion-mnist";
  o.limit_train = 8000;
  o.cells = 1;
  o.epochs = 6;
  o.batch_size = 64;
  return o;
}

/// What both published trainings in the DARTS space have in common.
TrainOptions darts_preset() {
  TrainOptions o;
  o.nesterov = false;
  o.grad_clip = 5;
  o.auxiliary_weight = 0.4;
  return o;
}

TrainOptions darts_cifar10_preset() {
  TrainOptions o = darts_preset();
  o.genotype = "DrNAS_cifar10";
  o.channels = 36;
  o.cells = 20;
  o.epochs = 600;
  o.batch_size = 64;
  o.learning_rate = 0.025;
  o.weight_decay = 3e-4;
  o.cutout = 16;
  o.drop_path = 0.3;
  return o;
}

TrainOptions darts_imagenet_preset() {
  TrainOptions o = darts_preset();
  o.genotype = "DrNAS_imagenet";
  o.dataset = "image-folder";
  o.image_size = 224;
  o.augment = "resized-crop";
  o.colour_jitter = true;
  o.stem = "imagenet";
  o.channels = 48;
  o.cells = 14;
  o.epochs = 250;
  o.batch_size = 768;
  o.learning_rate = 0.5;
  o.schedule = "linear";
  o.warmup_epochs = 5;
  o.weight_decay = 3e-5;
  o.label_smoothing = 0.1;
  return o;
}

constexpr std::array<TrainPreset, 4> rows{{
    {"quick", "a small NAS-Bench-201 network on Fashion-MNIST, minutes on two cores",
     "nas-bench-201", PresetUse::quick, quick_preset},
    {"nb201", "the protocol of NAS-Bench-201 on CIFAR-10 (default for its cells)", "nas-bench-201",
     PresetUse::standard, nb201_preset},
    {"darts-cifar10", "the published DARTS-space training on CIFAR-10 (default for its cells)",
     "darts", PresetUse::standard, darts_cifar10_preset},
    {"darts-imagenet",
     "the published DARTS-space training on ImageNet (default for names published for it)", "darts",
     PresetUse::imagenet, darts_imagenet_preset},
}};

}  // namespace

std::span<const TrainPreset> train_presets() { return rows; }

const TrainPreset* find_train_preset(std::string_view name) {
  const auto found = std::find_if(rows.begin(), rows.end(),
                                  [&](const TrainPreset& preset) { return preset.name == name; });
  return found == rows.end() ? nullptr : &*found;
}

const TrainPreset& train_preset_for(const SearchSpace& space, PresetUse use) {
  const auto of_use = [&](PresetUse wanted) {
    return std::find_if(rows.begin(), rows.end(), [&](const TrainPreset& preset) {
      return preset.space == space.facts().name && preset.use == wanted;
    });
  };
  if (const auto found = of_use(use); found != rows.end()) return *found;
  if (const auto found = of_use(PresetUse::standard); found != rows.end()) return *found;
  throw Error("training: there is no preset for the " + std::string(space.facts().title) +
              ", expected a genotype of another space");
}

}  // namespace drnas
