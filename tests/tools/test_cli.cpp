// SPDX-License-Identifier: MIT
#include "tools/cli/search_cli.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "nas/options/option_table.h"
#include "nas/run/run_folder.h"
#include "tests/support/option_files.h"
#include "tools/cli/progress.h"
#include "tools/cli/seeds.h"
#include "tools/cli/text.h"

namespace {

using drnas::SearchOptions;
using drnas::test_files::check_fails;
using drnas::test_files::TemporaryFolder;

SearchOptions parse(const std::vector<std::string>& arguments) {
  std::ostringstream output;
  return drnas::tools::parse_command_line(arguments, output).options;
}

}  // namespace

TEST_CASE("command line: options arrive, command line over configuration file") {
  const TemporaryFolder folder;
  const std::string config = (folder.path / "c.toml").string(),
                    out = (folder.path / "run").string();
  drnas::write_file_atomically(config, std::string_view("epochs = 7\ncells = 2\n"));
  const SearchOptions o =
      parse({"--out", out, "--config=" + config, "--cells", "3", "--quiet", "--dry-run", "--seeds",
             "4,5", "--memory-limit", "2G", "--seed", "1", "--seed", "8"});
  CHECK(o.out == out);
  CHECK(o.epochs == 7);
  CHECK(o.cells == 3);
  CHECK((o.quiet && o.dry_run && !o.resume));
  CHECK(o.seeds == std::vector<std::uint64_t>{4, 5});
  CHECK(o.memory_limit == 2ll << 30);
  CHECK(o.seed == 8);
  CHECK(o.threads > 0);
}

TEST_CASE("command line: help lists every option with its default, version the libraries") {
  std::ostringstream help, version;
  CHECK(drnas::tools::parse_command_line({"--help"}, help).answered);
  for (const drnas::OptionInfo& info : drnas::option_table()) {
    CHECK(help.str().find("--" + std::string(info.name)) != std::string::npos);
  }
  CHECK(help.str().find("=0.025") != std::string::npos);
  CHECK(help.str().find("Examples:") != std::string::npos);
  CHECK(drnas::tools::parse_command_line({"--version"}, version).answered);
  for (const char* part : {"drnas_search", "commit", "compiler", "oneDNN"}) {
    CHECK(version.str().find(part) != std::string::npos);
  }
}

TEST_CASE("command line: mistakes are one line that names the option") {
  check_fails([] { parse({"--foo", "3"}); }, {"--foo", "--help"});
  check_fails([] { parse({"--epoch=3"}); }, {"unknown option --epoch=3", "expected --epochs"});
  check_fails([] { parse({"--batch_size", "3"}); }, {"expected --batch-size"});
  check_fails([] { parse({"run"}); }, {"unexpected argument 'run'"});
  check_fails([] { parse({"--epochs"}); }, {"--epochs"});
  check_fails([] { parse({"--epochs", "x"}); }, {"--epochs: 'x'"});
  check_fails([] { parse({"--epochs", "-3"}); }, {"--epochs -3"});
  check_fails([] { parse({"--config", "/nonexistent/c.toml"}); }, {"/nonexistent/c.toml"});
  check_fails([] { parse({"--resume"}); }, {"--resume", "--out"});
  check_fails([] { parse({"--quiet=maybe"}); }, {"--quiet=maybe: expected true or false"});
  check_fails([] { parse({"--none-op=x"}); }, {"--none-op=x: expected true or false"});
}

TEST_CASE("command line: resume reads the run and refuses other options") {
  const TemporaryFolder folder;
  const std::string out = (folder.path / "run").string();
  drnas::RunFolder::open(parse({"--out", out, "--preset", "quick", "--epochs", "3"}));
  const SearchOptions o = parse({"--out", out, "--resume", "--threads", "7"});
  CHECK(o.preset == "quick");
  CHECK(o.epochs == 3);
  CHECK(o.threads == 7);
  CHECK(o.resume);
  check_fails(
      [&] {
        parse({"--out", out, "--resume", "--epochs", "4"});
      },
      {"--epochs 4", "expected 3"});
  const auto config = folder.path / "run" / "config.toml";
  const std::string text = drnas::read_text_file(config);
  const auto with = [&](const std::string& key, const std::string& line) {
    const std::size_t at = text.find("\n" + key + " = ") + 1;
    drnas::write_file_atomically(config,
                                 text.substr(0, at) + line + text.substr(text.find('\n', at) + 1));
    return [&] { parse({"--out", out, "--resume"}); };
  };
  check_fails(with("threads", ""), {config.string(), "no threads", "started with"});
  check_fails(with("cells", "cells = 0\n"), {config.string() + " line ", "cells 0: expected 1"});
}

TEST_CASE("command line: a run goes on with all that it was started with") {
  const TemporaryFolder folder;
  const std::string out = (folder.path / "run").string();
  drnas::RunFolder::open(
      parse({"--out", out, "--preset", "quick", "--then-train", "--train-epochs", "3"}));
  const SearchOptions o = parse({"--out", out, "--resume"});
  CHECK(o.then_train);
  CHECK(o.train_epochs == 3);
}

TEST_CASE("seeds: folders, and sample deviation") {
  const TemporaryFolder folder;
  SearchOptions o;
  o.out = folder.path;
  o.seeds = {3, 4};
  o.resume = true;
  for (const char* name : {"seed-3", "seed-4"})
    std::filesystem::create_directory(folder.path / name);
  drnas::write_file_atomically(folder.path / "seed-3" / "config.toml", std::string_view("\n"));
  const SearchOptions third = drnas::tools::options_for_seed(o, 3),
                      fourth = drnas::tools::options_for_seed(o, 4);
  CHECK(third.out == folder.path / "seed-3");
  CHECK(third.seed == 3);
  CHECK(third.seeds.empty());
  CHECK(third.resume);
  CHECK_FALSE(fourth.resume);
  const std::vector<double> values{1, 2, 3, 4};
  CHECK(drnas::tools::spread(values).mean == doctest::Approx(2.5));
  CHECK(drnas::tools::spread(values).deviation == doctest::Approx(1.2909944487));
  CHECK(drnas::tools::spread(std::vector<double>{5}).deviation == 0);
}

TEST_CASE("progress: the bar fits any width and shows the share done") {
  drnas::StepProgress p;
  p.epoch = 2;
  p.epochs = 10;
  p.steps = 100;
  p.phase = "search";
  p.steps_per_second = 4.25;
  p.images_per_second = 544;
  p.seconds_left = 3725;
  std::size_t before = 0;
  for (p.step = 0; p.step <= 100; p.step += 10) {
    const std::string bar = drnas::tools::progress_bar(p, 120);
    const auto done = static_cast<std::size_t>(std::count(bar.begin(), bar.end(), '='));
    CHECK(done == static_cast<std::size_t>(p.step) * 30 / 100);
    CHECK(done >= before);
    before = done;
  }
  p.step = 37;
  for (int columns = 0; columns < 200; ++columns) {
    CHECK(drnas::tools::progress_bar(p, columns).size() <= static_cast<std::size_t>(columns));
  }
  for (const char* part :
       {"epoch 2/10 search", "37/100", "4.2 steps/s", "544 images/s", "1:02:05 left"}) {
    CHECK(drnas::tools::progress_line(p).find(part) != std::string::npos);
    CHECK(drnas::tools::progress_bar(p, 120).find(part) != std::string::npos);
  }
  CHECK(drnas::tools::duration(59.6) == "1:00");
  CHECK(drnas::tools::duration(-1) == "-");
}

TEST_CASE("command line: an error is one line, whatever value it repeats") {
  using drnas::tools::error_line;
  CHECK(error_line("--seed: '1', expected 2") == "error: --seed: '1', expected 2");
  CHECK(error_line("a\nb\r\x1b[31m\x7f \u00e4") == "error: a b  [31m  \u00e4");
  const std::string path(4096, 'x');
  CHECK(error_line("cannot read " + path) == "error: cannot read " + path);
  for (const std::string unit : {"x", "\n", "\u00e4", "\u20ac"}) {
    std::string message;
    while (message.size() < 100000) message += unit;
    const std::string line = error_line(message);
    CHECK((line.size() > 4990 && line.size() <= 5000));
    CHECK(line.ends_with(unit == "\n" ? "  ..." : unit + " ..."));
    CHECK(line.find('\n') == line.npos);
  }
}
