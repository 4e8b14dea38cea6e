// SPDX-License-Identifier: MIT
#include "nas/options/train_options.h"

#include "engine/parameters/schedule.h"
#include "nas/options/image_options.h"
#include "nas/options/train_presets.h"
#include "nas/space/search_space.h"

namespace drnas {
namespace {

/// Epochs at the end of the linear schedule that are less steep.
constexpr int slow_epochs = 5;

using Checker = OptionChecker<TrainOptions>;

void check_preset(const TrainOptions& o, const Checker& check) {
  std::vector<std::string_view> names;
  for (const TrainPreset& known : train_presets()) names.push_back(known.name);
  check.one_of("preset", o.preset, names);
}

/// The published form of whatever names a genotype.
std::string published(const std::string& genotype) { return find_genotype(genotype).text; }

void check_data(const TrainOptions& o, const Checker& check) {
  check_images(o, check);
  check.require(o.limit_train >= 0, "limit-train", "0 (all) or more");
}

/// A preset trains genotypes of its space alone.
void check_preset_fits(const TrainOptions& o, const SpaceFacts& space, const Checker& check) {
  std::string fitting;
  for (const TrainPreset& preset : train_presets())
    if (preset.space == space.name)
      fitting += (fitting.empty() ? "" : " or ") + std::string(preset.name);
  check.require(find_train_preset(o.preset)->space == space.name, "preset",
                fitting + " for a genotype of the " + std::string(space.title));
}

void check_network(const TrainOptions& o, const Checker& check) {
  const SpaceFacts& space = find_genotype(o.genotype).space->facts();
  const std::string which = " for a genotype of the " + std::string(space.title);
  check_preset_fits(o, space, check);
  check.one_of("stem", o.stem, Names{"cifar", "imagenet"});
  check.require(o.stem == "cifar" || space.imagenet_stem, "stem", "cifar" + which);
  check.integer("channels", o.channels, 1, 1024);
  check.integer("cells", o.cells, space.least_cells, 100);
  check.not_negative("auxiliary-weight", o.auxiliary_weight);
  check.require(o.auxiliary_weight == 0 || space.auxiliary_head, "auxiliary-weight",
                "0" + which + ", whose network has no auxiliary head");
  check.fraction("drop-path", o.drop_path);
  check.require(o.drop_path == 0 || space.auxiliary_head, "drop-path", "0" + which);
}

void check_recipe(const TrainOptions& o, const Checker& check) {
  check.integer("epochs", o.epochs, 1, 100000);
  check.integer("batch-size", o.batch_size, 1, 65536);
  check.positive("learning-rate", o.learning_rate);
  check.one_of("schedule", o.schedule, Names{"cosine", "linear"});
  check.integer("warmup-epochs", o.warmup_epochs, 0, o.epochs);
  check.fraction("momentum", o.momentum);
  check.not_negative("weight-decay", o.weight_decay);
  check.not_negative("grad-clip", o.grad_clip);
  check.fraction("label-smoothing", o.label_smoothing);
}

void check_run(const TrainOptions& o, const Checker& check) {
  check.one_of("device", o.device, Names{"cpu", "cuda", "auto"});
  check.one_of("precision", o.precision, Names{"auto", "fp32", "tf32"});
  check.one_of("conv", o.conv, Names{"auto", "own", "cudnn"});
  check.integer("threads", o.threads, 0, 1024);
  check.require(o.memory_limit == 0 || o.memory_limit >= (1 << 20), "memory-limit",
                "0 (no limit) or at least 1M");
  check.positive("checkpoint-every", o.checkpoint_every);
  check.not_negative("log-every", o.log_every);
  check.require(!o.out.empty(), "out", "a run directory");
}

/// The last value that was given, or empty.
std::string last_given(const std::vector<GivenOption>& config,
                       const std::vector<GivenOption>& command_line, std::string_view name) {
  std::string value;
  for (const auto* given : {&config, &command_line})
    for (const GivenOption& option : *given)
      if (option.name == name) value = option.value;
  return value;
}

}  // namespace

void TrainOptions::validate() const {
  const Checker check(*this);
  check.texts();
  check_preset(*this, check);
  check_recipe(*this, check);
  check_data(*this, check);
  check_network(*this, check);
  check_run(*this, check);
}

std::string TrainOptions::to_toml() const { return options_toml(*this, program); }

TrainOptions TrainOptions::from_config(const std::vector<GivenOption>& config) {
  return resolve_train_options(config, {});
}

TrainOptions train_preset_options(std::string_view name) {
  const TrainPreset* const preset = find_train_preset(name);
  TrainOptions o = preset ? preset->options() : TrainOptions{};
  o.preset = name;
  check_preset(o, Checker(o));
  return o;
}

TrainOptions resolve_train_options(const std::vector<GivenOption>& config,
                                   const std::vector<GivenOption>& command_line) {
  std::string preset = last_given(config, command_line, "preset");
  const std::string genotype = last_given(config, command_line, "genotype");
  if (preset.empty() && genotype.empty()) preset = TrainOptions{}.preset;
  if (preset.empty())
    preset =
        train_preset_for(*find_genotype(genotype).space,
                         is_imagenet_genotype(genotype) ? PresetUse::imagenet : PresetUse::standard)
            .name;
  TrainOptions options = train_preset_options(preset);
  apply_options(options, config);
  apply_options(options, command_line);
  std::set<std::string_view> given;
  for (const auto* list : {&config, &command_line})
    for (const GivenOption& option : *list) given.insert(option.name);
  fit_to_dataset(options, given);
  options.genotype = published(options.genotype);
  return options;
}

TrainOptions train_options_after(const SearchOptions& s, const std::string& genotype) {
  const PresetUse use = s.preset == "quick"    ? PresetUse::quick
                        : s.stem == "imagenet" ? PresetUse::imagenet
                                               : PresetUse::standard;
  TrainOptions o = train_preset_options(train_preset_for(*find_genotype(genotype).space, use).name);
  o.genotype = published(genotype);
  o.dataset = s.dataset;
  o.data = s.data;
  o.cache = s.cache;
  o.image_size = s.image_size;
  o.augment = s.augment;
  o.colour_jitter = s.colour_jitter;
  o.limit_train = s.limit_train;
  o.seed = s.seed;
  if (s.train_epochs > 0) o.epochs = s.train_epochs;
  if (o.warmup_epochs > o.epochs) o.warmup_epochs = o.epochs;
  o.device = s.device;
  o.threads = s.threads;
  o.memory_limit = s.memory_limit;
  o.no_graph = s.no_graph;
  o.checkpoint_every = s.checkpoint_every;
  o.log_every = s.log_every;
  o.quiet = s.quiet;
  o.tensorboard = s.tensorboard;
  o.command = s.command;
  o.out = s.out / "train";
  return o;
}

double train_learning_rate(const TrainOptions& o, std::int64_t epoch) {
  const int e = static_cast<int>(epoch);
  if (e < o.warmup_epochs) return o.learning_rate * (e + 1) / o.warmup_epochs;
  if (o.schedule == "cosine") return cosine_learning_rate(o.learning_rate, 0, e, o.epochs);
  // A step of 1/E of the rate is large at the end, so that the last epochs share one.
  const int steep = o.epochs - slow_epochs;
  if (steep <= 0) return o.learning_rate * (o.epochs - e) / o.epochs;
  if (e < steep) return o.learning_rate * (steep - e) / steep;
  return o.learning_rate * (o.epochs - e) / (double{slow_epochs} * steep);
}

double drop_path_probability(const TrainOptions& o, std::int64_t epoch) {
  return o.drop_path * static_cast<double>(epoch) / o.epochs;
}

DerivedOptions derived_options(const TrainOptions& o, int classes) {
  DerivedOptions d;
  d.genotype = find_genotype(o.genotype);
  d.channels = o.channels;
  d.layers = o.cells;
  d.classes = classes;
  d.image_size = o.image_size;
  d.imagenet = o.stem == "imagenet";
  d.auxiliary = o.auxiliary_weight > 0;
  return d;
}

}  // namespace drnas
