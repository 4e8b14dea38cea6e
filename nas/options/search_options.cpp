// SPDX-License-Identifier: MIT
#include "nas/options/search_options.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <set>

#include "data/nats_splits.h"
#include "nas/diagnostics/early_warning.h"
#include "nas/method/search_method.h"
#include "nas/options/hessian_option.h"
#include "nas/options/image_options.h"
#include "nas/options/method_defaults.h"
#include "nas/options/option_table.h"
#include "nas/space/cost_table.h"
#include "nas/space/search_space.h"

namespace drnas {
namespace {

/// A minute on two cores, on real images from a distribution's package: the first thing to try.
/// All channels, small batches, and a fast alpha once the weights have learnt for two epochs:
/// docs/methods.md says why.
SearchOptions quick_preset() {
  SearchOptions options;
  options.preset = "quick";
  options.dataset = "fashion-mnist";
  options.limit_train = 8000;
  options.cells = 1;
  options.epochs = 5;
  options.batch_size = 32;
  options.alpha_start_epoch = 2;
  options.alpha_learning_rate = 5e-3;
  return options;
}

/// Widens once, from K 4 to 2, and prunes from 5 to 3 operations.
SearchOptions nb201_progressive_preset() {
  SearchOptions options;
  options.partial_channels = {4, 2};
  options.keep_ops = {5, 3};
  options.stage_epochs = {50, 50};
  options.alpha_start_epoch = 10;
  return options;
}

SearchOptions darts_preset(std::string_view recipe) {
  SearchOptions options;
  options.space = "darts";
  options.channels = 36;
  options.cells = 20;
  // The paper widens twice, by its text to a third of the channels; the published code to a
  // quarter.
  options.partial_channels = {6, recipe == "paper" ? 3 : 4};
  options.none_op = recipe == "paper";
  options.keep_ops = {options.none_op ? 8 : 7, 4};
  options.stage_epochs = {25, 25};
  options.epochs = 50;
  options.learning_rate = 0.1;
  options.learning_rate_min = 0;
  options.alpha_learning_rate = 6e-4;
  options.alpha_start_epoch = 10;
  return options;
}

SearchOptions darts_imagenet_preset(std::string_view recipe) {
  SearchOptions options = darts_preset(recipe);
  options.dataset = "image-folder";
  options.image_size = 224;
  options.augment = "resized-crop";
  options.stem = "imagenet";
  options.channels = 48;
  options.cells = 14;
  options.partial_channels = {6, 3};
  options.batch_size = 512;
  options.learning_rate = 0.5;
  options.warmup_epochs = 5;
  options.alpha_learning_rate = 6e-3;
  options.alpha_grad_clip = 5;
  return options;
}

constexpr std::array<Preset, 5> known_presets{{
    {"quick", "a small search on Fashion-MNIST, a minute on two cores"},
    {"nb201", "the published NAS-Bench-201 recipe on CIFAR-10 (default)"},
    {"nb201-progressive", "the same with progressive learning: K 4 to 2, 5 to 3 operations"},
    {"darts-cifar10", "the published DARTS-space recipe on CIFAR-10: K 6 to 4, 7 to 4 operations"},
    {"darts-imagenet", "the same on ImageNet: K 6 to 3, three stride-2 convolutions first"},
}};

using Checker = OptionChecker<SearchOptions>;

void check_preset(const SearchOptions& o, const Checker& check) {
  std::vector<std::string_view> names;
  for (const Preset& known : known_presets) names.push_back(known.name);
  check.one_of("preset", o.preset, names);
}

/// What only image folders have.
void check_image_folder(const SearchOptions& o, const Checker& check) {
  const bool folder = dataset_info(o.dataset).folder_of_images;
  for (const char* name : {"train-list", "alpha-list"}) {
    const bool train = name == std::string_view("train-list");
    const auto& list = train ? o.train_list : o.alpha_list;
    const auto& other = train ? o.alpha_list : o.train_list;
    check.require(folder || list.empty(), name, "none with --dataset " + o.dataset);
    check.require(list.empty() || !other.empty(), name,
                  std::string("none, or --") + (train ? "alpha-list" : "train-list") + " as well");
  }
  check.require(o.train_list.empty() || o.limit_train == 0, "limit-train", "0 with --train-list");
}

void check_data(const SearchOptions& o, const Checker& check) {
  check_images(o, check);
  check.require(o.limit_train == 0 || o.limit_train >= 2 * std::int64_t{o.batch_size},
                "limit-train",
                "0 (all) or at least " + std::to_string(2 * std::int64_t{o.batch_size}) +
                    ", a batch for each half");
  check_image_folder(o, check);
}

void check_network(const SearchOptions& o, const Checker& check) {
  const SearchSpace* const space = find_search_space(o.space);
  check.require(space != nullptr, "space", search_space_names());
  const SpaceFacts& facts = space->facts();
  check.one_of("stem", o.stem, Names{"cifar", "imagenet"});
  check.require(o.stem == "cifar" || facts.imagenet_stem, "stem", "cifar with --space " + o.space);
  check.require(!o.none_op || facts.none_option, "none-op", "false with --space " + o.space);
  check.integer("channels", o.channels, 1, 1024);
  check.integer("cells", o.cells, facts.least_cells, 100);
  for (const int k : o.partial_channels)
    check.require(k >= 1 && o.channels % k == 0, "partial-channels",
                  "divisors of --channels " + std::to_string(o.channels));
}

/// One value a stage, each smaller than (or as large as) the one before.
void check_stage_list(const Checker& check, std::string_view name, const std::vector<int>& values,
                      std::size_t stages) {
  check.require(values.size() == stages, name,
                std::to_string(stages) + (stages == 1 ? " value" : " values") +
                    ", one for each of --stage-epochs");
  check.require(std::is_sorted(values.rbegin(), values.rend()), name,
                "no value above the one before it");
}

/// Of all stages, at most what an int holds.
int total_epochs(const std::vector<int>& stages) {
  const auto sum = std::accumulate(stages.begin(), stages.end(), std::int64_t{0});
  return static_cast<int>(std::min<std::int64_t>(sum, std::numeric_limits<int>::max()));
}

void check_stages(const SearchOptions& o, const Checker& check) {
  const int ops = theta_shape(search_space(o.space), o.none_op).operations;
  for (const int keep : o.keep_ops)
    check.require(keep >= 1 && keep <= ops, "keep-ops",
                  "1 to the " + std::to_string(ops) + " operations of --space " + o.space);
  const std::size_t stages = std::max<std::size_t>(1, o.stage_epochs.size());
  check_stage_list(check, "partial-channels", o.partial_channels, stages);
  if (!o.keep_ops.empty()) check_stage_list(check, "keep-ops", o.keep_ops, stages);
  check.require(o.keep_ops.empty() || o.keep_ops[0] == ops, "keep-ops",
                std::to_string(ops) + " operations, all of them, in the first stage");
  check.require(o.stage_epochs.empty() || total_epochs(o.stage_epochs) == o.epochs, "stage-epochs",
                "a sum of --epochs " + std::to_string(o.epochs));
}

/// What only methods have whose stages start anew in deeper networks.
void check_deepening(const SearchOptions& o, const MethodInfo& method, const Checker& check) {
  if (!method.deepens) {
    const std::string with = " with --method " + o.method + ", whose stages do not start anew";
    check.require(o.stage_cells.empty(), "stage-cells", "none" + with);
    check.require(o.skip_dropout.empty(), "skip-dropout", "none" + with);
    check.require(o.max_skips == o.any_skips, "max-skips",
                  std::to_string(o.any_skips) + " (any number)" + with);
    return;
  }
  const std::size_t stages = std::max<std::size_t>(1, o.stage_epochs.size());
  const std::string each = ", one for each of --stage-epochs";
  check.require(o.stage_cells.size() == stages, "stage-cells",
                std::to_string(stages) + (stages == 1 ? " value" : " values") + each);
  const int least = find_search_space(o.space)->facts().least_cells;
  for (const int cells : o.stage_cells)
    check.require(cells >= least && cells <= 100, "stage-cells",
                  std::to_string(least) + " to 100 cells a stage");
  check.require(o.stage_cells[0] == o.cells, "stage-cells",
                "--cells " + std::to_string(o.cells) + " in the first stage");
  check.require(o.skip_dropout.empty() || o.skip_dropout.size() == stages, "skip-dropout",
                "none, or " + std::to_string(stages) + " probabilities" + each);
  for (const double p : o.skip_dropout)
    check.require(p >= 0 && p < 1, "skip-dropout", "probabilities of at least 0 and below 1");
  check.integer("max-skips", o.max_skips, 0, o.any_skips);
  // Of the operations that an edge keeps one may be `none` and one is the identity.
  const int others = o.none_op ? 3 : 2;
  check.require(o.max_skips == o.any_skips || o.keep_ops.empty() || o.keep_ops.back() >= others,
                "keep-ops",
                "at least " + std::to_string(others) + " in the last stage with --max-skips " +
                    std::to_string(o.max_skips));
  for (const int epochs : o.stage_epochs)
    check.require(o.warmup_epochs < epochs, "warmup-epochs",
                  "fewer than each of --stage-epochs, in which the learning rate starts anew");
}

/// What a method needs, and the differences between bases.
void check_base(const SearchOptions& o, const MethodInfo& method, const Checker& check) {
  check.require(method.space.empty() || o.space == method.space || !find_search_space(o.space),
                "method",
                "another one, or --space " + std::string(method.space) +
                    ", the only one that it is defined in");
  check.one_of("base", o.base, Names{"drnas", "authors", "nats"});
  const std::string missing = base_refusal(o);
  check.require(missing.empty(), "base", missing);
  check.one_of("order", o.order, Names{"alpha-first", "weights-first"});
  check.one_of("rate-moves", o.rate_moves, Names{"epoch", "step"});
  check.one_of("evaluation-norm", o.evaluation_norm, Names{"running", "batch"});
  check.one_of("split", o.split, Names{"halves", "nats"});
  check.require(o.split == "halves" || has_nats_split(o.dataset), "split",
                "halves with --dataset " + o.dataset +
                    ": the lists number the images of the binary releases");
  check.require(o.split == "halves" || o.limit_train == 0, "limit-train", "0 with --split nats");
  check.require(!o.one_batch || method.one_batch, "one-batch", "false with --method " + o.method);
  check.require(method.stages || o.stage_epochs.empty(), "stage-epochs",
                "none with --method " + o.method + ", which prunes no operations");
  for (const auto& [name, value] : {std::pair("schedule-first", o.schedule_first),
                                    std::pair("schedule-last", o.schedule_last)}) {
    if (method.schedule == MethodSchedule::temperature) check.positive(name, value);
    if (method.schedule == MethodSchedule::radius)
      check.require(value >= 0 && value <= 1, name, "a radius of 0 to 1");
    if (method.schedule == MethodSchedule::none)
      check.require(value == 0, name, "0 with --method " + o.method + ", which has none");
  }
}

void check_regulariser(const SearchOptions& o, const MethodInfo& method, const Checker& check) {
  check.one_of("regulariser", o.regulariser, Names{"l2", "kl", "none", "group"});
  check.require(o.regulariser == "group" || !method.switches, "regulariser",
                "group with --method " + o.method + ", whose switches a penalty draws to zero");
  check.require(o.regulariser != "group" || method.switches, "regulariser",
                "l2 or none with --method " + o.method + " (group needs switches)");
  check.require(o.regulariser != "kl" || method.draws_from_dirichlet, "regulariser",
                "l2 or none with --method " + o.method + " (kl needs a Dirichlet)");
  check.not_negative("lambda", o.lambda);
  if (method.switches) check.positive("lambda", o.lambda);
}

void check_recipe(const SearchOptions& o, const Checker& check) {
  const MethodInfo* const method = find_search_method(o.method);
  check.require(method != nullptr, "method", search_method_names());
  // First: they may be where --epochs comes from.
  for (const int epochs : o.stage_epochs)
    check.require(epochs >= 1 && epochs <= 100000, "stage-epochs", "1 to 100000 epochs a stage");
  check.integer("epochs", o.epochs, 1, 100000);
  check.integer("batch-size", o.batch_size, 1, 65536);
  check.positive("learning-rate", o.learning_rate);
  check.require(o.learning_rate_min >= 0 && o.learning_rate_min <= o.learning_rate,
                "learning-rate-min", "0 to --learning-rate");
  check.fraction("momentum", o.momentum);
  check.not_negative("weight-decay", o.weight_decay);
  check.not_negative("grad-clip", o.grad_clip);
  check.positive("alpha-learning-rate", o.alpha_learning_rate);
  check.fraction("alpha-beta1", o.alpha_beta1);
  check.fraction("alpha-beta2", o.alpha_beta2);
  check.not_negative("alpha-grad-clip", o.alpha_grad_clip);
  check.integer("alpha-start-epoch", o.alpha_start_epoch, 0, o.epochs);
  check.integer("warmup-epochs", o.warmup_epochs, 0, o.epochs - 1);
  check.one_of("recipe", o.recipe, Names{"published", "paper"});
  check_base(o, *method, check);
  check_regulariser(o, *method, check);
}

void check_cost(const SearchOptions& o, const Checker& check) {
  const CostOption cost = check.parsed("cost", parse_cost, o.cost);
  const bool given = cost.kind != CostOption::Kind::none;
  check.not_negative("cost-weight", o.cost_weight);
  check.require(given || o.cost_weight == 0, "cost-weight", "0 without --cost");
  check.require(!given || o.cost_weight > 0, "cost-weight", "more than 0 with --cost " + o.cost);
}

void check_evidence(const SearchOptions& o, const Checker& check) {
  check.integer("trajectory", o.trajectory, 0, 1000000);
  check.parsed("hessian", parse_hessian, o.hessian);
  check.require(o.hessian.empty() || !find_search_method(o.method)->edge_weights, "hessian",
                "none with --method " + o.method + ", whose theta has weights of edges");
  const std::vector<Alarm> alarms = check.parsed("stop-on", parse_alarms, o.stop_on);
  check.require(!o.hessian.empty() ||
                    std::find(alarms.begin(), alarms.end(), Alarm::eigenvalue) == alarms.end(),
                "stop-on", "skip or nan without --hessian, from which eigenvalues come");
}

void check_selection(const SearchOptions& o, const Checker& check) {
  check.one_of("select", o.select, Names{"argmax", "perturbation", "sampled"});
  check.integer("select-tune", o.select_tune, 0, 100000);
  check.require(o.select == "perturbation" || o.select_tune == SearchOptions{}.select_tune,
                "select-tune", "no value without --select perturbation");
  check.integer("select-cells", o.select_cells, 1, 100000);
  check.require(o.select == "sampled" || o.select_cells == SearchOptions{}.select_cells,
                "select-cells", "no value without --select sampled");
}

void check_run(const SearchOptions& o, const Checker& check) {
  check.one_of("device", o.device, Names{"cpu", "cuda", "auto"});
  check.one_of("precision", o.precision, Names{"auto", "fp32", "tf32", "bf16"});
  check.one_of("conv", o.conv, Names{"auto", "own", "cudnn"});
  check.one_of("raw-outputs", o.raw_outputs, Names{"auto", "store", "rebuild-1x1", "rebuild"});
  check.integer("threads", o.threads, 0, 1024);
  check.require(o.memory_limit == 0 || o.memory_limit >= (1 << 20), "memory-limit",
                "0 (no limit) or at least 1M");
  check.positive("checkpoint-every", o.checkpoint_every);
  check.not_negative("log-every", o.log_every);
  const std::set<std::uint64_t> different(o.seeds.begin(), o.seeds.end());
  check.require(different.size() == o.seeds.size(), "seeds", "different seeds");
  check.require(!o.then_train || o.seeds.empty(), "then-train", "one --seed, not --seeds");
  check.integer("train-epochs", o.train_epochs, 0, 100000);
  check.require(o.train_epochs == 0 || o.then_train, "train-epochs", "0 without --then-train");
  check.require(!o.out.empty(), "out", "a run directory");
}

}  // namespace

void SearchOptions::validate() const {
  const Checker check(*this);
  check.texts();
  check_preset(*this, check);
  check_recipe(*this, check);
  check_cost(*this, check);
  check_data(*this, check);
  check_network(*this, check);
  check_stages(*this, check);
  check_deepening(*this, *find_search_method(method), check);
  check_evidence(*this, check);
  check_selection(*this, check);
  check_run(*this, check);
}

SearchOptions SearchOptions::from_config(const std::vector<GivenOption>& config) {
  return resolve_options(config, {});
}

std::span<const Preset> presets() { return known_presets; }

SearchOptions preset_options(std::string_view name, std::string_view recipe) {
  SearchOptions options = name == "quick"               ? quick_preset()
                          : name == "nb201-progressive" ? nb201_progressive_preset()
                          : name == "darts-cifar10"     ? darts_preset(recipe)
                          : name == "darts-imagenet"    ? darts_imagenet_preset(recipe)
                                                        : SearchOptions{};
  options.preset = name;
  options.recipe = recipe;
  check_preset(options, Checker(options));
  return options;
}

SearchOptions resolve_options(const std::vector<GivenOption>& config,
                              const std::vector<GivenOption>& command_line) {
  std::string preset = "nb201", recipe = "published", method, base = "drnas", space;
  bool epochs_given = false, stages_given = false, cells_given = false, depths_given = false;
  std::set<std::string_view> given_names;
  for (const auto* given : {&config, &command_line}) {
    for (const GivenOption& option : *given) {
      if (option.name == "preset") preset = option.value;
      if (option.name == "recipe") recipe = option.value;
      if (option.name == "method") method = option.value;
      if (option.name == "base") base = option.value;
      if (option.name == "space") space = option.value;
      if (option.name == "epochs") epochs_given = true;
      if (option.name == "stage-epochs") stages_given = true;
      if (option.name == "cells") cells_given = true;
      if (option.name == "stage-cells") depths_given = true;
      given_names.insert(option.name);
    }
  }
  SearchOptions options = preset_options(preset, recipe);
  if (method.empty()) method = options.method;
  apply_options(options, method_defaults(method, base, space.empty() ? options.space : space));
  apply_options(options, config);
  apply_options(options, command_line);
  // The stages say how long the search is where only they are given.
  if (stages_given && !epochs_given && !options.stage_epochs.empty())
    options.epochs = total_epochs(options.stage_epochs);
  if (depths_given && !cells_given && !options.stage_cells.empty())
    options.cells = options.stage_cells[0];
  fit_to_dataset(options, given_names);
  return options;
}

}  // namespace drnas
