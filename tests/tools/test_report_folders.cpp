// SPDX-License-Identifier: MIT
#include "nas/options/train_options.h"
#include "tests/support/option_files.h"
#include "tests/tools/recorded_runs.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;
using test_files::TemporaryFolder;

TEST_CASE("report: a run that goes on, is cut, or has not begun") {
  const TemporaryFolder folder;
  const SearchOptions options = options_at(folder.path / "all/a");
  write_run(options, 2);
  append(options.out / "log.jsonl", "{\"epoch\":3,\"stage\":");
  const Report cut = report({options.out.string()});
  CHECK(cut.data.at("runs")[0].at("epochs").size() == 2);
  CHECK(count(cut.notes, "\n") == 1);
  CHECK(cut.notes.find("log.jsonl line 3: cut short, left out") != std::string::npos);
  fs::remove(options.out / "genotype.txt");
  CHECK(report({options.out.string()}).data.at("runs")[0].at("genotype") ==
        cut.data.at("runs")[0].at("genotype"));
  const SearchOptions waiting = options_at(folder.path / "all/b");
  write_run(waiting, 0);
  check_fails([&] { report({waiting.out.string()}); }, {"all/b", "no epoch"});
  const Report both = report({(folder.path / "all").string()});
  CHECK(both.data.at("runs").size() == 1);
  CHECK(both.notes.find("all/b: no epoch of the search has ended yet, left out") !=
        std::string::npos);
}

TEST_CASE("report: errors name the file and the line, and leave an old page alone") {
  const TemporaryFolder folder;
  const SearchOptions options = options_at(folder.path / "run");
  const std::vector<std::string> lines = write_run(options, 3);
  const std::string run = options.out.string(), log = run + "/log.jsonl";
  const auto fails = [&](std::initializer_list<std::string> parts) {
    check_fails([&] { report({run}); }, parts);
  };
  report({run});
  const std::string page = read_text_file(run + "/report.html");
  const auto with_second_line = [&](const std::string& line) {
    write_file_atomically(log, lines[0] + "\n" + line + "\n" + lines[2] + "\n");
  };
  with_second_line("{\"epoch\":2,");
  fails({"log.jsonl line 2"});
  with_second_line("[]");
  fails({"log.jsonl line 2"});
  with_second_line(lines[0]);
  fails({"log.jsonl line 2", "epoch 1, expected 2"});
  Json other = Json::parse(lines[1]);
  other["epoch"] = 2.9;
  with_second_line(other.dump());
  fails({"log.jsonl line 2", "epoch 2.9, expected 2"});
  other["epoch"] = 2;
  other["concentrations"].erase(0);
  with_second_line(other.dump());
  fails({"log.jsonl line 2", "6 rows of 5"});
  other = Json::parse(lines[1]);
  other["genotype"] = "|nothing~0|";
  with_second_line(other.dump());
  fails({"log.jsonl line 2", "|nothing~0|"});
  with_second_line(lines[1]);
  append(run + "/run.json", "{");
  fails({"run.json"});
  fs::remove(run + "/run.json");
  append(run + "/run.json", std::string(200000, '[') + std::string(200000, ']'));
  fails({"run.json", "64 levels"});
  fs::remove(run + "/run.json");
  write_file_atomically(run + "/genotype.txt", std::string_view("what\n"));
  fails({"genotype.txt", "what"});
  fs::remove(run + "/genotype.txt");
  append(run + "/config.toml", "colour = 1\n");
  fails({"config.toml line", "colour"});
  CHECK(read_text_file(run + "/report.html") == page);
  fs::remove(run + "/config.toml");
  fails({"config.toml"});
}

TEST_CASE("report: a run that cannot be read is left out of a folder of runs, with a note") {
  const TemporaryFolder folder;
  for (const char* name : {"good", "log", "config"}) write_run(options_at(folder.path / name), 2);
  append(folder.path / "log" / "log.jsonl", "[]\n");
  append(folder.path / "config" / "config.toml", "colour = 1\n");
  const Report rest = report({folder.path.string()});
  CHECK(rest.data.at("runs").size() == 1);
  for (const char* part : {"log.jsonl line 3", "config.toml line", "this run is left out"})
    CHECK(rest.notes.find(part) != std::string::npos);
  CHECK(count(rest.notes, "\n") == 2);
  fs::remove_all(folder.path / "good");
  check_fails([&] { report({folder.path.string()}); }, {"config.toml line", "colour"});
}

TEST_CASE("report: a page replaces pages, and nothing else") {
  const TemporaryFolder folder;
  const SearchOptions options = options_at(folder.path / "run");
  write_run(options, 1);
  const fs::path config = options.out / "config.toml";
  const std::string before = read_text_file(config);
  check_fails(
      [&] {
        report({options.out.string(), "--out", config.string()});
      },
      {config.string(), "is no page", "expected another file"});
  CHECK(read_text_file(config) == before);
  for (int time = 0; time < 2; ++time) report({options.out.string()});
}

TEST_CASE("report: what is no search") {
  const TemporaryFolder folder;
  const std::string place = folder.path.string();
  check_fails([&] { report({place + "/nothing"}); }, {"no run in", "nothing"});
  check_fails([&] { report({place}); }, {"no run in", "log.jsonl"});
  append(place + "/file", "x");
  check_fails([&] { report({place + "/file"}); }, {"no run in", "is no folder"});
  TrainOptions training;
  training.genotype = cell_text;
  training.out = folder.path / "t";
  RunFolder::open(training);
  check_fails([&] { report({place + "/t"}); }, {"is a training", "expected"});
  append(training.out / "log.jsonl", "{\"epoch\":1,\"test_loss\":1}\n");
  check_fails([&] { report({place + "/t"}); }, {"is a training", "expected"});
  check_fails([&] { report({place}); }, {"no run in"});
  check_fails([] { report({}); }, {"no RUN"});
  check_fails([] { report({"run", "--titel", "x"}); }, {"--titel", "--title"});
  const SearchOptions options = options_at(folder.path / "run");
  write_run(options, 1);
  check_fails(
      [&] {
        report({options.out.string(), "--out", place + "/no/page.html"});
      },
      {"cannot write", "no/page.html"});
}

TEST_CASE("report: cells as files beside the page, help and version") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) write_run(options_at(folder.path / name), 1);
  const std::string place = folder.path.string();
  report({place + "/a", place + "/b", "--out", place + "/page.html", "--dot", "--svg"});
  for (const char* file : {"page-a-cell.dot", "page-b-cell.dot"})
    CHECK(read_text_file(folder.path / file).starts_with("digraph"));
  for (const char* file : {"page-a-cell.svg", "page-b-cell.svg"}) {
    const std::string svg = read_text_file(folder.path / file);
    CHECK(svg.starts_with("<svg xmlns="));
    CHECK(svg.find("<style>svg{color:") < svg.find("<title>"));
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(folder.path))
    CHECK(entry.path().extension() != ".tmp");
  std::ostringstream help, version;
  CHECK(tools::parse_report_command_line({"--help"}, help).answered);
  for (const char* part : {"RUN", "--out", "--title", "--dot", "--svg", "Examples:"})
    CHECK(help.str().find(part) != std::string::npos);
  CHECK(tools::parse_report_command_line({"--version"}, version).answered);
  CHECK(version.str().starts_with("drnas_report "));
  std::ostringstream none;
  CHECK(tools::parse_report_command_line({"runs/x"}, none).out == "runs/x/report.html");
  CHECK(tools::parse_report_command_line({"x", "y"}, none).out == "report.html");
}
