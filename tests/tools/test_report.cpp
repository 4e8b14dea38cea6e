// SPDX-License-Identifier: MIT
#include "nas/options/train_options.h"
#include "tests/support/option_files.h"
#include "tests/tools/recorded_runs.h"
#include "tools/cli/search_cli.h"
#include "tools/cli/text.h"
#include "tools/report/repeat_command.h"
#include "tools/report/report_data.h"
#include "tools/report/report_page.h"

using namespace drnas;
using namespace drnas::test;
using test_files::TemporaryFolder;

namespace {

/// A command's words as a POSIX shell splits plain and single-quoted text.
std::vector<std::string> shell_words(const std::string& command) {
  std::vector<std::string> words;
  bool inside = false, quoted = false;
  for (std::size_t at = 0; at < command.size(); ++at) {
    const char c = command[at];
    if (!quoted && c == ' ') {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    if (c == '\'')
      quoted = !quoted;
    else
      words.back() += !quoted && c == '\\' ? command[++at] : c;
  }
  CHECK(!quoted);
  return words;
}

/// The command, typed again, gives the options; `out` is not part of it.
void check_repeats(const std::string& command, SearchOptions options) {
  std::vector<std::string> words = shell_words(command);
  REQUIRE(words.size() >= 1);
  CHECK(words[0] == "./drnas_search");
  words.erase(words.begin());
  words.insert(words.end(), {"--out", options.out.string()});
  std::ostringstream output;
  const SearchOptions again = tools::parse_command_line(words, output).options;
  for (const OptionInfo& info : option_table())
    CHECK_MESSAGE(same_option(again, options, info), command, " gives --", info.name, " ",
                  option_text(again, info), " for ", option_text(options, info));
}

std::string command_of(const SearchOptions& options) {
  std::string command = "./drnas_search";
  for (const std::string& argument : tools::repeat_arguments(options))
    command += " " + tools::shell_word(argument);
  return command;
}

}  // namespace

TEST_CASE("report: the page holds what was logged, of both spaces") {
  for (const char* preset : {"nb201", "darts-cifar10"}) {
    const TemporaryFolder folder;
    SearchOptions options = preset_options(preset);
    options.out = folder.path / "run";
    options.none_op = options.space == "darts";
    options.keep_ops.clear();
    options.stage_epochs.clear();
    options.partial_channels = {2};
    options.memory_limit = 3 << 20;
    const std::vector<std::string> lines = write_run(options, 3, 801);
    const std::string machine = R"({"processor": "x86 </script>", "threads": 2})";
    append(options.out / "run.json", machine);
    const Report made = report({options.out.string()});
    CHECK(made.notes.empty());
    CHECK(made.output.find("report.html: 1 search\n") != std::string::npos);
    REQUIRE(made.data.at("runs").size() == 1);
    const Json& run = made.data.at("runs")[0];
    REQUIRE(run.at("epochs").size() == lines.size());
    for (std::size_t e = 0; e < lines.size(); ++e)
      CHECK(run.at("epochs")[e] == Json::parse(lines[e]));
    CHECK(run.at("epochs")[1].at("val_loss").is_null());
    CHECK(run.at("machine") == Json::parse(machine));
    CHECK(run.at("name") == "run");
    CHECK(run.at("seed") == options.seed);
    CHECK(run.at("space") == options.space);
    CHECK(run.at("budget_bytes") == options.memory_limit);
    CHECK(run.at("differs").empty());
    CHECK(run.at("genotype") == Json::parse(lines.back()).at("genotype"));
    const std::size_t kinds = options.space == "darts" ? 2 : 1;
    REQUIRE(run.at("cells").size() == kinds);
    for (const Json& cell : run.at("cells")) {
      CHECK(cell.at("ops").size() == run.at("epochs")[0].at("concentrations")[0].size());
      CHECK(cell.at("edges").size() * kinds == run.at("epochs")[0].at("concentrations").size());
      CHECK(cell.at("svg").get<std::string>().starts_with("<svg "));
      CHECK(cell.at("dot").get<std::string>().starts_with("digraph "));
    }
    CHECK(run.at("cells").back().at("first_row") == (kinds == 2 ? 14 : 0));
  }
}

TEST_CASE("report: configuration in its order, the command repeats the run") {
  const TemporaryFolder folder;
  SearchOptions options = options_at(folder.path / "it's a run", 18446744073709551615u);
  options.data = "im ages/$HOME 'x'";
  options.lambda = 0.1 + 0.2;
  options.grad_clip = 0;
  options.memory_limit = 5000000000;
  options.method = "darts";
  options.quiet = true;
  write_run(options, 1);
  const Json run = report({options.out.string()}).data.at("runs")[0];
  check_repeats(run.at("command"), options);
  const auto stored = read_config(options.out / "config.toml", config_keys<SearchOptions>());
  REQUIRE(run.at("config").size() == stored.size());
  for (std::size_t i = 0; i < stored.size(); ++i)
    CHECK(run.at("config")[i] == Json::array({stored[i].name, stored[i].value}));
}

TEST_CASE("report: commands that repeat presets and what differs from them") {
  for (const Preset& preset : presets()) {
    for (const char* recipe : {"published", "paper"}) {
      SearchOptions options = preset_options(preset.name, recipe);
      options.threads = 3;
      options.out = "not-there";
      check_repeats(command_of(options), options);
      // Short and plain: the names that say it all, and the threads.
      const std::string plain = command_of(options);
      CHECK(count(plain, " --") <= 3);
      options.stage_epochs.clear();
      options.keep_ops.clear();
      options.partial_channels = {1};
      options.epochs = 17;
      options.alpha_start_epoch = 0;
      options.learning_rate = 0.125;
      check_repeats(command_of(options), options);
      options.colour_jitter = false;
      options.augment = "crop-flip";
      check_repeats(command_of(options), options);
      options.dataset = "image-folder";
      options.image_size = 64;
      options.data = "-dash";
      check_repeats(command_of(options), options);
    }
  }
}

TEST_CASE("report: seeds of one search are a group, options that differ are named") {
  const TemporaryFolder folder;
  for (const char* lambda : {"0", "0.5"}) {
    for (const std::uint64_t seed : {10, 9, 1}) {
      const std::string name = std::string("lambda") + lambda;
      SearchOptions options =
          options_at(folder.path / name / ("seed-" + std::to_string(seed)), seed);
      options.lambda = std::stod(lambda);
      options.threads = static_cast<int>(seed);
      options.trajectory = static_cast<int>(seed);
      write_run(options, 2, seed);
    }
  }
  TrainOptions training;
  training.genotype = cell_text;
  training.out = folder.path / "training";
  RunFolder::open(training);
  append(training.out / "log.jsonl", "{\"epoch\":1,\"test_loss\":1}\n");
  const Report made = report({folder.path.string(), "--title", "both"});
  CHECK(made.data.at("title") == "both");
  std::vector<std::string> names, groups;
  for (const Json& run : made.data.at("runs")) {
    names.push_back(run.at("name"));
    groups.push_back(run.at("group"));
    CHECK(run.at("differs") == Json::array({"lambda"}));
    CHECK(run.at("seed").get<int>() == std::stoi(names.back().substr(names.back().find('-') + 1)));
  }
  CHECK(names == std::vector<std::string>{"lambda0/seed-1", "lambda0/seed-9", "lambda0/seed-10",
                                          "lambda0.5/seed-1", "lambda0.5/seed-9",
                                          "lambda0.5/seed-10"});
  CHECK(groups == std::vector<std::string>{"lambda0", "lambda0", "lambda0", "lambda0.5",
                                           "lambda0.5", "lambda0.5"});
  // Named twice, a run is shown once; alone, seeds are called by their folder.
  const std::string one = (folder.path / "lambda0").string();
  const Report alone = report({one, one + "/../lambda0/seed-9", "--out", one + "/r.html"});
  REQUIRE(alone.data.at("runs").size() == 3);
  CHECK(alone.data.at("runs")[0].at("name") == "seed-1");
  CHECK(alone.data.at("runs")[0].at("group") == "lambda0");
}

TEST_CASE("report: groups whose runs lie in mixed folders have names of their own") {
  const TemporaryFolder folder;
  for (int i = 0; i < 4; ++i) {
    SearchOptions options =
        options_at(folder.path / ("run" + std::to_string(i)), static_cast<std::uint64_t>(i / 2));
    options.regulariser = i % 2 == 0 ? "l2" : "kl";
    write_run(options, 1);
  }
  const Json runs = report({folder.path.string()}).data.at("runs");
  REQUIRE(runs.size() == 4);
  for (int i = 0; i < 4; ++i)
    CHECK(runs[static_cast<std::size_t>(i)].at("group") ==
          (i % 2 == 0 ? "regulariser l2" : "regulariser kl"));
}

TEST_CASE("report: hostile text stays text") {
  const TemporaryFolder folder;
  const std::string evil = "</script><script>alert(1)</script><!--";
  SearchOptions options = options_at(folder.path / "<img src=x onerror=alert(1)>");
  options.data = evil;
  write_run(options, 1);
  const Report made = report({options.out.string(), "--title", evil});
  CHECK(made.data.at("title") == evil);
  CHECK(made.data.at("runs")[0].at("name") == "<img src=x onerror=alert(1)>");
  CHECK(made.data.at("runs")[0].at("command").get<std::string>().find(evil) != std::string::npos);
  const Report plain = report({options.out.string(), "--title", "plain"});
  for (const char* part : {"<script", "</script", "<!--", "<img"})
    CHECK(count(made.page, part) == count(plain.page, part));
  CHECK(made.page.find("alert(1)</script") == std::string::npos);
  check_repeats(made.data.at("runs")[0].at("command"), options);
}

TEST_CASE("report: the page is complete in itself, its placeholders are replaced once") {
  const std::string template_text(tools::report_template);
  for (const char* place : {"/*STYLE*/", "/*DATA*/", "/*SCRIPT*/"}) {
    CHECK(count(template_text, place) == 1);
    CHECK(count("\n" + template_text, std::string("\n") + place + "\n") == 1);
  }
  const std::string page = tools::report_page("{\"title\":\"\n/*SCRIPT*/\n/*STYLE*/\n\"}");
  CHECK(count(page, "/*DATA*/") == 0);
  CHECK(count(page, "/*SCRIPT*/") == 1);  // that of the data
  CHECK(count(page, std::string(tools::report_style)) == 1);
  CHECK(count(page, std::string(tools::report_script)) == 1);
  CHECK(!tools::report_style.empty());
  CHECK(!tools::report_script.empty());
  for (const char* part : {"</script", "<!--"})
    CHECK(tools::report_script.find(part) == std::string_view::npos);
  for (const char* part : {" src=", "<link", "@import", "url(http"})
    CHECK(page.find(part) == std::string::npos);
}
