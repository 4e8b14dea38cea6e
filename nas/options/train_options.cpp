// SPDX-License-Identifier: MIT
#include "nas/options/train_options.h"

#include <array>

#include "engine/parameters/schedule.h"
#include "nas/options/image_options.h"

namespace drnas {
namespace {

constexpr const char* drnas_nb201_cell =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2"
    "|";
/// Epochs at the end of the linear schedule that are less steep.
constexpr int slow_epochs = 5;

using Checker = OptionChecker<TrainOptions>;

/// Minutes on two cores, on real images from a distribution's package.
TrainOptions quick_preset() {
  TrainOptions o;
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

constexpr std::array<Preset, 4> known_presets{{
    {"quick", "a small NAS-Bench-201 network on Fashion-MNIST, minutes on two cores"},
    {"nb201", "the protocol of NAS-Bench-201 on CIFAR-10 (default for its cells)"},
    {"darts-cifar10", "the published DARTS-space training on CIFAR-10 (default for its cells)"},
    {"darts-imagenet", "the published DARTS-space training on ImageNet"},
}};

void check_preset(const TrainOptions& o, const Checker& check) {
  std::vector<std::string_view> names;
  for (const Preset& known : known_presets) names.push_back(known.name);
  check.one_of("preset", o.preset, names);
}

bool is_nb201(const std::string& genotype) {
  return std::holds_alternative<Nb201Cell>(read_genotype(genotype));
}

/// The published form of whatever names a genotype.
std::string published(const std::string& genotype) {
  return std::visit([](const auto& cell) { return to_string(cell); }, read_genotype(genotype));
}

void check_data(const TrainOptions& o, const Checker& check) {
  check_images(o, check);
  check.require(o.limit_train >= 0, "limit-train", "0 (all) or more");
}

void check_network(const TrainOptions& o, const Checker& check) {
  const bool nb201 = is_nb201(o.genotype);
  // Presets named after a space are for its genotypes.
  const bool fits = o.preset == "nb201" || o.preset == "quick" ? nb201 : !nb201;
  check.require(fits, "preset",
                nb201 ? "nb201 or quick for a NAS-Bench-201 cell"
                      : "darts-cifar10 or darts-imagenet for a genotype of the DARTS space");
  check.one_of("stem", o.stem, Names{"cifar", "imagenet"});
  check.require(o.stem == "cifar" || !nb201, "stem", "cifar for a NAS-Bench-201 cell");
  check.integer("channels", o.channels, 1, 1024);
  check.integer("cells", o.cells, nb201 ? 1 : 3, 100);
  check.not_negative("auxiliary-weight", o.auxiliary_weight);
  check.require(o.auxiliary_weight == 0 || !nb201, "auxiliary-weight",
                "0 for a NAS-Bench-201 cell, whose network has no auxiliary head");
  check.fraction("drop-path", o.drop_path);
  check.require(o.drop_path == 0 || !nb201, "drop-path", "0 for a NAS-Bench-201 cell");
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
  check_preset(*this, check);
  check_recipe(*this, check);
  check_data(*this, check);
  check_network(*this, check);
  check_run(*this, check);
}

std::string TrainOptions::to_toml() const { return options_toml(*this, program); }

std::span<const Preset> train_presets() { return known_presets; }

TrainOptions train_preset_options(std::string_view name) {
  TrainOptions o = name == "quick"            ? quick_preset()
                   : name == "darts-cifar10"  ? darts_cifar10_preset()
                   : name == "darts-imagenet" ? darts_imagenet_preset()
                                              : TrainOptions{};
  o.preset = name;
  if (o.genotype.empty()) o.genotype = drnas_nb201_cell;
  check_preset(o, Checker(o));
  return o;
}

TrainOptions resolve_train_options(const std::vector<GivenOption>& config,
                                   const std::vector<GivenOption>& command_line) {
  std::string preset = last_given(config, command_line, "preset");
  const std::string genotype = last_given(config, command_line, "genotype");
  if (preset.empty())
    preset = genotype.empty() || is_nb201(genotype) ? "nb201"
             : is_imagenet_genotype(genotype)       ? "darts-imagenet"
                                                    : "darts-cifar10";
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
  const bool darts = s.space == "darts";
  TrainOptions o = train_preset_options(!darts ? s.preset == "quick" ? "quick" : "nb201"
                                        : s.stem == "imagenet" ? "darts-imagenet"
                                                               : "darts-cifar10");
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
  d.genotype = read_genotype(o.genotype);
  d.channels = o.channels;
  d.layers = o.cells;
  d.classes = classes;
  d.image_size = o.image_size;
  d.imagenet = o.stem == "imagenet";
  d.auxiliary = o.auxiliary_weight > 0;
  return d;
}

}  // namespace drnas
