// SPDX-License-Identifier: MIT
#include "nas/options/train_options.h"

#include <doctest/doctest.h>

#include <set>
#include <sstream>

#include "nas/options/train_presets.h"
#include "nas/run/run_folder.h"
#include "tests/support/option_files.h"
#include "tools/cli/train_cli.h"

namespace {

using drnas::GivenOption;
using drnas::TrainOptions;
using drnas::test_files::check_fails;
using drnas::test_files::TemporaryFolder;

using TrainInfo = drnas::OptionOf<TrainOptions>;

constexpr const char* cell =
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|";

GivenOption given(const std::string& name, const std::string& value) {
  return {name, value, "--" + name};
}

TrainOptions resolve(const std::vector<GivenOption>& options) {
  return drnas::resolve_train_options({}, options);
}

TrainOptions parse(const std::vector<std::string>& arguments) {
  std::ostringstream output;
  return drnas::tools::parse_train_command_line(arguments, output).options;
}

}  // namespace

TEST_CASE("train options: presets are the published trainings") {
  const TrainOptions nb = drnas::train_preset_options("nb201");
  CHECK((nb.channels == 16 && nb.cells == 5 && nb.epochs == 200 && nb.batch_size == 256));
  CHECK((nb.learning_rate == 0.1 && nb.momentum == 0.9 && nb.nesterov));
  CHECK((nb.weight_decay == 5e-4 && nb.grad_clip == 0 && nb.cutout == 0));
  CHECK((nb.schedule == "cosine" && nb.auxiliary_weight == 0 && nb.drop_path == 0));

  const TrainOptions small = drnas::train_preset_options("darts-cifar10");
  CHECK((small.channels == 36 && small.cells == 20 && small.epochs == 600));
  CHECK((small.batch_size == 64 && small.learning_rate == 0.025 && !small.nesterov));
  CHECK((small.weight_decay == 3e-4 && small.grad_clip == 5 && small.cutout == 16));
  CHECK((small.schedule == "cosine" && small.auxiliary_weight == 0.4 && small.drop_path == 0.3));

  const TrainOptions large = drnas::train_preset_options("darts-imagenet");
  CHECK((large.channels == 48 && large.cells == 14 && large.epochs == 250));
  CHECK((large.batch_size == 768 && large.learning_rate == 0.5 && large.stem == "imagenet"));
  CHECK((large.weight_decay == 3e-5 && large.grad_clip == 5 && large.label_smoothing == 0.1));
  CHECK((large.schedule == "linear" && large.warmup_epochs == 5 && large.drop_path == 0));

  std::set<std::string_view> names;
  for (const drnas::TrainPreset& preset : drnas::train_presets()) {
    TrainOptions o = resolve({given("preset", std::string(preset.name)), given("out", "x")});
    CHECK(o.preset == preset.name);
    CHECK_NOTHROW(o.validate());
    names.insert(preset.name);
  }
  CHECK(names.size() == 4);
  check_fails([] { drnas::train_preset_options("fast"); }, {"--preset fast", "quick", "nb201"});
}

TEST_CASE("train options: the genotype's space chooses the preset, and must match a given one") {
  CHECK(resolve({}).preset == "nb201");
  CHECK(resolve({given("genotype", cell)}).preset == "nb201");
  const TrainOptions darts = resolve({given("genotype", "DARTS_V2")});
  CHECK(darts.preset == "darts-cifar10");
  for (const char* name : {"DrNAS_imagenet", "PC_DARTS_image"}) {
    const TrainOptions large = resolve({given("genotype", name)});
    CHECK((large.preset == "darts-imagenet" && large.stem == "imagenet" && large.channels == 48));
  }
  CHECK(darts.genotype == drnas::find_genotype("DARTS_V2").text);
  for (const auto& [preset, genotype] :
       {std::pair{"nb201", "DARTS_V2"}, {"quick", "DARTS_V2"}, {"darts-cifar10", cell}}) {
    TrainOptions o = resolve({given("preset", preset), given("genotype", genotype)});
    o.out = "x";
    check_fails([&] { o.validate(); }, {std::string("--preset ") + preset, "for a "});
  }
  check_fails(
      [] { resolve({given("genotype", "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|")}); },
      {"conv"});
  check_fails([] { resolve({given("genotype", "no_such_cell")}); }, {"no_such_cell", "DARTS_V2"});
}

TEST_CASE("train options: impossible values are named") {
  const auto fails = [](const std::string& name, const std::string& value,
                        std::initializer_list<std::string> parts) {
    TrainOptions o = resolve({given("out", "x"), given(name, value)});
    CAPTURE(name);
    check_fails([&] { o.validate(); }, parts);
  };
  fails("epochs", "0", {"--epochs 0"});
  fails("batch-size", "0", {"--batch-size 0"});
  fails("learning-rate", "nan", {"--learning-rate nan"});
  fails("schedule", "step", {"--schedule step", "cosine, linear"});
  fails("drop-path", "0.3", {"--drop-path 0.3", "NAS-Bench-201"});
  fails("auxiliary-weight", "0.4", {"--auxiliary-weight 0.4", "NAS-Bench-201"});
  fails("stem", "imagenet", {"--stem imagenet"});
  fails("label-smoothing", "1", {"--label-smoothing 1"});
  fails("limit-train", "-1", {"--limit-train -1"});
  fails("precision", "bf16", {"--precision bf16", "fp32, tf32"});
  check_fails([] { resolve({given("epoch", "3")}); }, {"--epoch", "unknown"});
}

TEST_CASE("train options: every stored option travels through TOML") {
  const TemporaryFolder folder;
  const TrainOptions preset = resolve({});
  std::set<std::string_view> names;
  for (const TrainInfo& info : drnas::options_of<TrainOptions>()) {
    CHECK(names.insert(info.name).second);
    if (info.role == drnas::OptionRole::action || info.name == "preset") continue;
    CAPTURE(info.name);
    TrainOptions o = preset;
    const bool flag = std::holds_alternative<bool TrainOptions::*>(info.member);
    const bool was_on = info.name == "nesterov";
    drnas::set_option(o, info,
                      info.name == "genotype" ? cell
                      : !flag                 ? "11"
                      : was_on                ? "false"
                                              : "true",
                      "test");
    REQUIRE_FALSE(drnas::same_option(o, preset, info));
    const auto config =
        drnas::parse_config(o.to_toml(), "c.toml", drnas::config_keys<TrainOptions>());
    CHECK(drnas::resolve_train_options(config, {}) == o);
  }
  CHECK(preset.to_toml().starts_with("# drnas_train "));
}

TEST_CASE("train options: learning rates of the published schedules") {
  using drnas::train_learning_rate;
  const TrainOptions nb = drnas::train_preset_options("nb201");
  CHECK(train_learning_rate(nb, 0) == 0.1);
  CHECK(train_learning_rate(nb, 100) == doctest::Approx(0.05));
  CHECK(train_learning_rate(nb, 200) == doctest::Approx(0).epsilon(1e-15));

  const TrainOptions large = drnas::train_preset_options("darts-imagenet");
  CHECK(train_learning_rate(large, 0) == doctest::Approx(0.1));  // warm-up
  CHECK(train_learning_rate(large, 4) == doctest::Approx(0.5));
  CHECK(train_learning_rate(large, 5) == doctest::Approx(0.5 * 240 / 245));
  CHECK(train_learning_rate(large, 244) == doctest::Approx(0.5 / 245));
  CHECK(train_learning_rate(large, 245) == doctest::Approx(0.5 / 245));  // the slow end
  CHECK(train_learning_rate(large, 249) == doctest::Approx(0.5 / 245 / 5));
  TrainOptions brief = large;
  brief.epochs = 3;
  brief.warmup_epochs = 0;
  CHECK(train_learning_rate(brief, 2) == doctest::Approx(0.5 / 3));

  const TrainOptions small = drnas::train_preset_options("darts-cifar10");
  CHECK(drnas::drop_path_probability(small, 0) == 0);
  CHECK(drnas::drop_path_probability(small, 300) == doctest::Approx(0.15));
}

TEST_CASE("train options: what follows a search") {
  drnas::SearchOptions search = drnas::preset_options("nb201");
  search.dataset = "cifar100";
  search.data = "images";
  search.out = "runs/s";
  search.seed = 7;
  const TrainOptions o = drnas::train_options_after(search, cell);
  CHECK((o.preset == "nb201" && o.genotype == cell && o.dataset == "cifar100"));
  CHECK((o.data == "images" && o.out == "runs/s/train" && o.seed == 7 && o.epochs == 200));
  CHECK_NOTHROW(o.validate());
  search = drnas::preset_options("darts-imagenet");
  search.train_epochs = 2;
  search.out = "x";
  const TrainOptions large = drnas::train_options_after(search, "DrNAS_imagenet");
  CHECK((large.preset == "darts-imagenet" && large.epochs == 2));
  CHECK_NOTHROW(large.validate());
  CHECK(drnas::train_options_after(drnas::preset_options("quick"), cell).preset == "quick");
  CHECK(drnas::train_options_after(drnas::preset_options("darts-cifar10"), "DARTS_V1").preset ==
        "darts-cifar10");
}

TEST_CASE("train command line: options, help and mistakes") {
  const TemporaryFolder folder;
  const std::string out = (folder.path / "run").string();
  const TrainOptions o = parse({"--out", out, "--genotype", "DrNAS_cifar10", "--epochs=3",
                                "--memory-limit", "2G", "--nesterov", "--describe"});
  CHECK((o.out == out && o.epochs == 3 && o.memory_limit == 2ll << 30 && o.describe));
  CHECK((o.preset == "darts-cifar10" && o.nesterov && o.threads > 0));
  CHECK_FALSE(parse({"--nesterov=false"}).nesterov);

  std::ostringstream help;
  CHECK(drnas::tools::parse_train_command_line({"--help"}, help).answered);
  for (const TrainInfo& info : drnas::options_of<TrainOptions>())
    CHECK(help.str().find("--" + std::string(info.name)) != std::string::npos);
  CHECK(help.str().find("Examples:") != std::string::npos);

  check_fails([] { parse({"--epoch=3"}); }, {"unknown option --epoch=3", "expected --epochs"});
  check_fails([] { parse({"--genotype", "x"}); }, {"x"});
  check_fails([] { parse({"--resume"}); }, {"--resume", "--out"});
  check_fails(
      [] {
        parse({"--evaluate", "/nonexistent/w.safetensors"});
      },
      {"/nonexistent/w.safetensors"});
}

TEST_CASE("train command line: resume reads the run and refuses other options") {
  const TemporaryFolder folder;
  const std::string out = (folder.path / "run").string();
  drnas::RunFolder::open(parse({"--out", out, "--genotype", "DrNAS_cifar10", "--epochs", "3"}));
  const TrainOptions o = parse({"--out", out, "--resume", "--threads", "7"});
  CHECK((o.preset == "darts-cifar10" && o.epochs == 3 && o.threads == 7 && o.resume));
  CHECK_NOTHROW(parse({"--out", out, "--resume", "--genotype", "DrNAS_cifar10"}));
  check_fails(
      [&] {
        parse({"--out", out, "--resume", "--epochs", "4"});
      },
      {"--epochs 4", "expected 3", out});
  check_fails(
      [&] {
        parse({"--out", out, "--resume", "--genotype", "DARTS_V1"});
      },
      {"--genotype", "sep_conv", out});
  check_fails(
      [&] {
        parse({"--out", (folder.path / "none").string(), "--resume"});
      },
      {"holds no run"});
}
