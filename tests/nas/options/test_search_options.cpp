// SPDX-License-Identifier: MIT
#include "nas/options/search_options.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>

#include "engine/gpu.h"
#include "kernels/layers/conv2d.h"
#include "nas/options/option_check.h"
#include "nas/options/option_table.h"
#include "nas/search/search_inputs.h"
#include "tests/support/option_files.h"

namespace {

using drnas::GivenOption;
using drnas::SearchOptions;
using drnas::test_files::check_fails;
using drnas::test_files::TemporaryFolder;

std::vector<GivenOption> read_text(const TemporaryFolder& folder, const std::string& text) {
  drnas::write_file_atomically(folder.path / "c.toml", text);
  return drnas::read_config(folder.path / "c.toml");
}

SearchOptions valid_options() {
  SearchOptions options;
  options.out = "runs/test";
  return options;
}

GivenOption given(const std::string& name, const std::string& value) {
  return {name, value, "--" + name};
}

}  // namespace

TEST_CASE("search options: nb201 is the published recipe and the default") {
  const SearchOptions o = drnas::preset_options("nb201");
  CHECK(o == SearchOptions{});
  CHECK(drnas::resolve_options({}, {}) == o);
  CHECK(o.preset == "nb201");
  CHECK(o.dataset == "cifar10");
  CHECK(o.method == "drnas");
  CHECK((o.channels == 16 && o.cells == 5 && o.partial_channels == std::vector<int>{1}));
  CHECK((o.batch_size == 64 && o.epochs == 100 && o.alpha_start_epoch == 0));
  CHECK((o.regulariser == "l2" && o.lambda == 1e-3));
  CHECK((o.learning_rate == 0.025 && o.learning_rate_min == 0.001 && o.momentum == 0.9));
  CHECK((o.weight_decay == 3e-4 && o.grad_clip == 5 && o.cutout == 0));
  CHECK((o.alpha_learning_rate == 3e-4 && o.alpha_beta1 == 0.5 && o.alpha_beta2 == 0.999));
  CHECK(o.checkpoint_every == 10);
}

TEST_CASE("search options: what precision auto is, by space and device, and what may be chosen") {
  using drnas::Device;
  const auto chosen = [](const std::string& space, const std::string& precision, Device device,
                         int channels = 16) {
    SearchOptions o = valid_options();
    o.space = space;
    o.precision = precision;
    o.channels = channels;
    const drnas::Precision p = drnas::choose_precision(o, device);
    return std::string(p.storage == drnas::DType::bf16 ? "bf16" : p.tf32 ? "tf32" : "fp32");
  };
  CHECK(chosen("nas-bench-201", "auto", Device::cuda) == "bf16");
  CHECK(chosen("nas-bench-201", "auto", Device::cuda, 12) == "fp32");
  CHECK(chosen("darts", "auto", Device::cuda) == "tf32");
  CHECK(chosen("darts", "auto", Device::cuda, 36) == "tf32");
  CHECK(chosen("darts", "fp32", Device::cuda) == "fp32");
  CHECK(chosen("darts", "tf32", Device::cuda) == "tf32");
  for (const char* space : {"nas-bench-201", "darts"}) {
    CHECK(chosen(space, "auto", Device::cpu) == "fp32");
    CHECK(chosen(space, "fp32", Device::cpu) == "fp32");
    CHECK_THROWS_AS(chosen(space, "tf32", Device::cpu), drnas::Error);
  }
  CHECK_THROWS_WITH_AS(
      chosen("darts", "bf16", Device::cuda),
      "--precision bf16: the DARTS space stores float32, expected fp32, tf32 or auto",
      drnas::Error);
}

TEST_CASE("search options: whose convolutions run") {
  const auto apply = [](const std::string& conv, drnas::Device device) {
    SearchOptions o = valid_options();
    o.conv = conv;
    o.validate();
    drnas::set_convolutions({}, conv, device);
    return drnas::kernels::conv_source();
  };
  using drnas::kernels::ConvSource;
  CHECK(apply("own", drnas::Device::cuda) == ConvSource::own);
  CHECK(apply("auto", drnas::Device::cuda) == ConvSource::automatic);
  CHECK(apply("auto", drnas::Device::cpu) == ConvSource::automatic);
  CHECK_THROWS_WITH_AS(apply("cudnn", drnas::Device::cpu),
                       "--conv cudnn: needs --device cuda, expected auto on the CPU", drnas::Error);
  if (!drnas::has_vendor_libraries())
    CHECK_THROWS_WITH_AS(
        apply("cudnn", drnas::Device::cuda),
        "--conv cudnn: this build is without cuDNN and cuBLAS, expected own or auto", drnas::Error);
  CHECK_THROWS_AS(apply("theirs", drnas::Device::cuda), drnas::Error);
}

TEST_CASE("search options: each preset keeps its name and is valid") {
  std::set<std::string_view> names;
  for (const drnas::Preset& preset : drnas::presets()) {
    SearchOptions o = drnas::preset_options(preset.name);
    CHECK(o.preset == preset.name);
    o.out = "x";
    CHECK_NOTHROW(o.validate());
    names.insert(preset.name);
  }
  CHECK(names == std::set<std::string_view>{"nb201", "nb201-progressive", "quick", "darts-cifar10",
                                            "darts-imagenet"});
  CHECK(drnas::preset_options("quick").dataset == "fashion-mnist");
  check_fails([] { drnas::preset_options("fast"); }, {"--preset fast", "quick", "nb201"});
}

TEST_CASE("search options: the table names every option once") {
  std::set<std::string_view> names;
  for (const drnas::OptionInfo& info : drnas::option_table()) {
    CHECK(names.insert(info.name).second);
    CHECK(drnas::find_option(info.name) == &info);
    CHECK_FALSE(info.help.empty());
  }
  CHECK(drnas::find_option("epoch") == nullptr);
}

TEST_CASE("search options: TOML reads back exactly") {
  const TemporaryFolder folder;
  SearchOptions o = drnas::preset_options("quick");
  CHECK(drnas::resolve_options(read_text(folder, o.to_toml()), {}) == o);
  CHECK(o.to_toml().starts_with("# drnas_search "));

  o.data = "odd \"name\" # \\ 'x' = [1, 2]\ttab\x01 \xc3\xa9/";
  o.cache = "true";
  o.out = "1.5";
  o.seed = std::numeric_limits<std::uint64_t>::max();
  o.seeds = {0, 7, std::numeric_limits<std::uint64_t>::max()};
  o.limit_train = std::numeric_limits<std::int64_t>::max();
  o.memory_limit = 3'000'000'001;
  o.learning_rate = 0.1 + 0.2;
  o.learning_rate_min = std::numeric_limits<double>::denorm_min();
  o.lambda = std::numeric_limits<double>::max();
  o.weight_decay = 1.0 / 3;
  o.grad_clip = 1e22;
  o.image_size = -4;
  o.quiet = true;
  CHECK(drnas::resolve_options(read_text(folder, o.to_toml()), {}) == o);

  SearchOptions actions = o;
  actions.resume = actions.dry_run = true;
  CHECK(actions.to_toml() == o.to_toml());
}

TEST_CASE("search options: every stored option travels through TOML") {
  const TemporaryFolder folder;
  for (const drnas::OptionInfo& info : drnas::option_table()) {
    if (info.role == drnas::OptionRole::action || info.name == "preset") continue;
    CAPTURE(info.name);
    SearchOptions o;
    const bool flag = std::holds_alternative<bool SearchOptions::*>(info.member);
    drnas::set_option(o, info, flag ? "true" : "11", "test");
    REQUIRE_FALSE(drnas::same_option(o, SearchOptions{}, info));
    CHECK(drnas::resolve_options(read_text(folder, o.to_toml()), {}) == o);
  }
}

TEST_CASE("search options: defaults < preset < configuration file < command line") {
  const SearchOptions quick = drnas::preset_options("quick");
  REQUIRE(quick.epochs != 100);
  CHECK(drnas::resolve_options({}, {given("preset", "quick")}) == quick);
  CHECK(drnas::resolve_options({given("preset", "quick")}, {}) == quick);
  // A later level wins wherever the preset was named, and whatever the order on the line.
  SearchOptions o = drnas::resolve_options({given("epochs", "7"), given("channels", "32")},
                                           {given("channels", "8"), given("preset", "quick")});
  CHECK(o.epochs == 7);
  CHECK(o.channels == 8);
  CHECK(o.cells == quick.cells);
  o = drnas::resolve_options({given("preset", "quick"), given("epochs", "7")},
                             {given("preset", "nb201")});
  CHECK(o.preset == "nb201");
  CHECK(o.epochs == 7);
  CHECK(o.cells == 5);
  o = drnas::resolve_options({}, {given("seed", "1"), given("seed", "9")});
  CHECK(o.seed == 9);
}

TEST_CASE("search options: the forms of TOML that are read") {
  const TemporaryFolder folder;
  const SearchOptions o =
      drnas::resolve_options(read_text(folder,
                                       "\n  # a comment\r\nepochs=5 # five\n data = 'a # \\ b' # "
                                       "literal\nout = \"x\\u0041\\t\\\"\"\n"
                                       "seeds = [3,1 , 2]   # list\nmemory-limit = \"512M\"\nquiet "
                                       "= true\nlambda = 2.5e-1\r\ncells = 2"),
                             {});
  CHECK(o.epochs == 5);
  CHECK(o.data == "a # \\ b");
  CHECK(o.out == "xA\t\"");
  CHECK(o.seeds == std::vector<std::uint64_t>{3, 1, 2});
  CHECK(o.memory_limit == 512ll << 20);
  CHECK(o.quiet);
  CHECK(o.lambda == 0.25);
  CHECK(o.cells == 2);
}

TEST_CASE("search options: a bad configuration file is an error with file, line and key") {
  const TemporaryFolder folder;
  const auto resolve = [&](const std::string& text) {
    return [&folder, text] { drnas::resolve_options(read_text(folder, text), {}); };
  };
  const auto line = [&](int number) {
    return (folder.path / "c.toml").string() + " line " + std::to_string(number);
  };
  check_fails([&] { drnas::read_config(folder.path / "none.toml"); }, {"none.toml"});
  check_fails(resolve("epochs = 3\n\nepoch = 4\n"), {line(3), "'epoch'", "epochs"});
  check_fails(resolve("batch_size = 3"), {line(1), "'batch_size'", "batch-size"});
  check_fails(resolve("resume = true"), {line(1), "unknown key 'resume'"});
  check_fails(resolve("dry-run = true"), {line(1), "unknown key 'dry-run'"});
  check_fails(resolve("epochs = 3\nepochs = 4\n"), {line(2), "epochs", "twice"});
  check_fails(resolve("[search]\nepochs = 3"), {line(1), "'[search]'", "key = value"});
  check_fails(resolve("epochs"), {line(1), "'epochs'", "key = value"});
  check_fails(resolve("= 3"), {line(1), "key = value"});
  check_fails(resolve("#\nepochs = x"), {line(2), "epochs", "'x'", "integer"});
  check_fails(resolve("lambda = x"), {line(1), "lambda", "'x'", "number"});
  check_fails(resolve("quiet = 1"), {line(1), "quiet", "true or false"});
  check_fails(resolve("seed = -1"), {line(1), "seed", "'-1'"});
  check_fails(resolve("seeds = [1, x]"), {line(1), "seeds"});
  for (const std::string bad : {"", "\"x", "'x", "\"x\" y", "\"\\q\"", "\"\\u00zz\"", "\"\\u12\"",
                                "\"\\u00e9\"", "\"\\", "[1", "[1] 2", "1 2", "a=b", "{x}", "1,2"}) {
    CAPTURE(bad);
    check_fails(resolve("data = " + bad), {line(1), "data = ", "expected one value of TOML"});
  }
}

TEST_CASE("search options: values that are not of the option's kind") {
  const auto set = [](const std::string& name, const std::string& value) {
    return [=] { drnas::resolve_options({}, {given(name, value)}); };
  };
  check_fails(set("nonsense", "1"), {"--nonsense", "unknown"});
  for (const std::string bad : {"", "x", "1.5", "3x", " 3", "99999999999999"}) {
    check_fails(set("epochs", bad), {"--epochs: '" + bad + "'", "expected an integer"});
  }
  for (const std::string bad : {"", "x", "1e", "0.1.2", "1 "}) {
    check_fails(set("momentum", bad), {"--momentum: '" + bad + "'", "expected a number"});
  }
  for (const std::string bad : {"", "-1", "1.5", "18446744073709551616"}) {
    check_fails(set("seed", bad), {"--seed: '" + bad + "'", "expected an integer of 0"});
  }
  for (const std::string bad : {"", "M", "-1", "12Q", "1.5G", "9000000T", "iB", "2GB"}) {
    check_fails(set("memory-limit", bad), {"--memory-limit: '" + bad + "'", "512M"});
  }
  for (const std::string bad : {"a", "1,,2", "1,", ",", "1;2", "1,-2"}) {
    check_fails(set("seeds", bad), {"--seeds: '" + bad + "'", "commas"});
  }
  check_fails(set("quiet", "yes"), {"--quiet: 'yes'", "true or false"});
}

TEST_CASE("search options: byte counts") {
  const auto bytes = [](const std::string& text) {
    return drnas::resolve_options({}, {given("memory-limit", text)}).memory_limit;
  };
  CHECK(bytes("0") == 0);
  CHECK(bytes("1048577") == 1048577);
  CHECK(bytes("8K") == 8192);
  CHECK(bytes("512M") == 536870912);
  CHECK(bytes("2G") == 2147483648);
  CHECK(bytes("2GiB") == 2147483648);
  CHECK(bytes("1T") == 1099511627776);
}

TEST_CASE("search options: validate names option, value and expectation") {
  struct Case {
    const char *name, *value;
    std::vector<const char*> parts;
  };
  const std::vector<Case> cases = {
      {"preset", "fast", {"quick, nb201"}},
      {"dataset", "imagenet", {"cifar10", "fashion-mnist", "image-folder", "synthetic"}},
      {"space", "nats", {"nas-bench-201", "darts"}},
      {"method", "enas", {"drnas", "darts"}},
      {"device", "gpu", {"cpu, cuda, auto"}},
      {"regulariser", "l1", {"l2, kl, none"}},
      {"image-size", "30", {"multiple of 4"}},
      {"image-size", "4", {"8 to 512"}},
      {"image-size", "516", {"8 to 512"}},
      {"image-size", "64", {"32", "image-folder"}},
      {"limit-train", "-1", {"0 (all)"}},
      {"limit-train", "127", {"128"}},
      {"cutout", "-1", {"0 to 32"}},
      {"cutout", "33", {"0 to 32"}},
      {"channels", "0", {"1 to 1024"}},
      {"channels", "1025", {"1 to 1024"}},
      {"cells", "0", {"1 to 100"}},
      {"partial-channels", "0", {"divisors of --channels 16"}},
      {"partial-channels", "3", {"divisors of --channels 16"}},
      {"epochs", "0", {"1 to"}},
      {"stage-epochs", "0", {"1 to 100000 epochs a stage"}},
      {"stage-epochs", "2147483647,2147483647", {"1 to 100000 epochs a stage"}},
      {"data", "caf\xe9", {"UTF-8"}},
      {"batch-size", "0", {"1 to"}},
      {"learning-rate", "0", {"above 0"}},
      {"learning-rate", "inf", {"finite"}},
      {"learning-rate", "nan", {"finite"}},
      {"learning-rate-min", "-0.1", {"0 to --learning-rate"}},
      {"learning-rate-min", "0.5", {"0 to --learning-rate"}},
      {"momentum", "1", {"below 1"}},
      {"momentum", "-0.1", {"at least 0"}},
      {"momentum", "nan", {"at least 0"}},
      {"weight-decay", "-1", {"at least 0"}},
      {"grad-clip", "-1", {"at least 0"}},
      {"alpha-learning-rate", "0", {"above 0"}},
      {"alpha-beta1", "1", {"below 1"}},
      {"alpha-beta2", "1", {"below 1"}},
      {"alpha-start-epoch", "-1", {"0 to 100"}},
      {"alpha-start-epoch", "101", {"0 to 100"}},
      {"lambda", "-1", {"at least 0"}},
      {"lambda", "nan", {"finite"}},
      {"threads", "-1", {"0 to 1024"}},
      {"memory-limit", "1000", {"1M"}},
      {"checkpoint-every", "0", {"above 0"}},
      {"log-every", "-1", {"at least 0"}},
      {"seeds", "1,2,1", {"different"}},
      {"out", "", {"run directory"}},
  };
  CHECK_NOTHROW(valid_options().validate());
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CAPTURE(c.value);
    SearchOptions o = valid_options();
    drnas::set_option(o, *drnas::find_option(c.name), c.value, "test");
    check_fails([&] { o.validate(); }, {"--" + std::string(c.name) + " " + c.value, "expected"});
    for (const char* part : c.parts) check_fails([&] { o.validate(); }, {part});
  }
}

TEST_CASE("search options: images that the network can halve, of either stem") {
  SearchOptions o = valid_options();
  o.space = "darts";
  o.cells = 3;
  o.dataset = "synthetic";
  for (const std::string stem : {"cifar", "imagenet"}) {
    o.stem = stem;
    for (o.image_size = -4; o.image_size <= 520; ++o.image_size) {
      // A stem that halves three times, and two reductions, each of an even size.
      const int step = stem == "imagenet" ? 32 : 4;
      const bool fits =
          o.image_size >= std::max(8, step) && o.image_size <= 512 && o.image_size % step == 0;
      CAPTURE(o.image_size);
      if (fits)
        CHECK_NOTHROW(o.validate());
      else
        check_fails([&] { o.validate(); }, {"--image-size", "multiple of " + std::to_string(step)});
    }
  }
}

TEST_CASE("search options: a value out of range is named where it was given") {
  const TemporaryFolder folder;
  const std::string file = (folder.path / "c.toml").string();
  drnas::write_file_atomically(file, std::string_view("seed = 1\nepochs = 0\nout = \"x\"\n"));
  const std::vector<GivenOption> config = drnas::read_config(file);
  const SearchOptions o = drnas::resolve_options(config, {});
  check_fails([&] { drnas::validate_given(o, config); },
              {file + " line 2: epochs 0: expected 1 to 100000"});
  auto given = config;
  given.push_back({"epochs", "-1", "--epochs"});
  const SearchOptions both = drnas::resolve_options(given, {});
  check_fails([&] { drnas::validate_given(both, given); }, {"--epochs -1: expected 1 to 100000"});
  CHECK_THROWS_WITH_AS(both.validate(), "--epochs -1: expected 1 to 100000", drnas::OptionError);
  // Also where a value has parts of its own.
  for (const char* name : {"hessian", "stop-on", "cost"}) {
    const std::string line = std::string(name) + " = \"x\"\n";
    drnas::write_file_atomically(file, std::string_view(line));
    const std::vector<GivenOption> parts = drnas::read_config(file);
    const SearchOptions wrong = drnas::resolve_options(parts, {});
    check_fails([&] { drnas::validate_given(wrong, parts); }, {file + " line 1: " + name + " x"});
  }
}

TEST_CASE("search options: values that only fit together") {
  SearchOptions o = valid_options();
  o.method = "darts";
  o.regulariser = "kl";
  check_fails([&] { o.validate(); }, {"--regulariser kl", "--method darts"});
  o.method = "drnas";
  CHECK_NOTHROW(o.validate());
  for (const char* name : {"image-folder", "synthetic"}) {
    o.dataset = name;
    o.image_size = 64;
    CHECK_NOTHROW(o.validate());
  }
  o.limit_train = 128;
  CHECK_NOTHROW(o.validate());
  o.batch_size = 65;
  check_fails([&] { o.validate(); }, {"--limit-train 128", "130"});
}
