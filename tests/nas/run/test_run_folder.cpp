// SPDX-License-Identifier: MIT
#include "nas/run/run_folder.h"

#include <doctest/doctest.h>
#include <omp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/version.h"
#include "nas/options/search_options.h"
#include "nas/run/signals.h"
#include "nas/search/search_events.h"
#include "tests/support/option_files.h"

namespace {

namespace fs = std::filesystem;
using drnas::EpochRecord;
using drnas::RunFolder;
using drnas::SearchOptions;
using drnas::test_files::check_fails;
using drnas::test_files::TemporaryFolder;

SearchOptions options_in(const fs::path& out) {
  SearchOptions options;
  options.out = out;
  return options;
}

EpochRecord record(int epoch) {
  EpochRecord r;
  r.epoch = epoch;
  r.epochs = 9;
  r.stage = 2;
  r.learning_rate = 0.1 + 0.2;
  r.train_loss = 1.0 / 3;
  r.train_top1 = 51.25;
  r.val_loss = 2.0 / 3;
  r.val_top1 = 49.5;
  r.genotype = "|none~0|";
  r.concentrations = {{1.5, 2.5}, {1.0 / 7, 4}};
  r.architecture_step_ms = 3.5;
  r.weight_step_ms = 4.5;
  r.images_per_second = 1000.5;
  r.peak_bytes = 5'000'000'000;
  r.peak_bytes_by_tag = {{"weights", 1}, {"activations", 4'999'999'999}};
  r.pinned_bytes = 150'000'256;
  return r;
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> lines;
  std::istringstream text(drnas::read_text_file(file));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

drnas::GivenOption given(const std::string& name) { return {name, "", "--" + name}; }

}  // namespace

TEST_CASE("run directory: a new one holds its configuration, parents included") {
  const TemporaryFolder folder;
  const SearchOptions options = options_in(folder.path / "a" / "b" / "run");
  RunFolder::check(options);
  CHECK_FALSE(fs::exists(folder.path / "a"));
  const RunFolder run = RunFolder::open(options);
  CHECK(run.path() == options.out);
  CHECK(drnas::resolve_options(drnas::read_config(options.out / "config.toml"), {}) == options);
  CHECK(run.checkpoint_path() == options.out / "checkpoint.safetensors");
  run.write_genotype("|x~0|");
  CHECK(drnas::read_text_file(options.out / "genotype.txt") == "|x~0|\n");
  run.write_genotype("|y~0|");
  CHECK(drnas::read_text_file(options.out / "genotype.txt") == "|y~0|\n");
  CHECK_NOTHROW(RunFolder::open(options_in(folder.path / "slash" / "")));
}

TEST_CASE("run directory: places where none can be made") {
  const TemporaryFolder folder;
  fs::create_directory(folder.path / "there");
  drnas::write_file_atomically(folder.path / "there" / "keep", std::string_view("x"));
  drnas::write_file_atomically(folder.path / "file", std::string_view("x"));
  fs::create_symlink(folder.path / "nowhere", folder.path / "link");
  for (const auto& action : {+[](const SearchOptions& o) { RunFolder::check(o); },
                             +[](const SearchOptions& o) { RunFolder::open(o); }}) {
    const auto try_in = [&](const fs::path& out) { return [&, out] { action(options_in(out)); }; };
    check_fails(try_in(folder.path / "there"),
                {(folder.path / "there").string(), "exists", "--resume"});
    check_fails(try_in(folder.path / "file"), {(folder.path / "file").string(), "exists"});
    check_fails(try_in(folder.path / "link"), {(folder.path / "link").string()});
    check_fails(try_in(folder.path / "file" / "run"),
                {(folder.path / "file").string(), "directory"});
    if (geteuid() != 0) {  // root may write anywhere
      fs::permissions(folder.path / "there", fs::perms::owner_read | fs::perms::owner_exec);
      check_fails(try_in(folder.path / "there" / "run"), {"there", "Permission denied"});
      fs::permissions(folder.path / "there", fs::perms::owner_all);
    }
  }
  CHECK(lines_of(folder.path / "there" / "keep").size() == 1);
  CHECK(std::distance(fs::directory_iterator(folder.path / "there"), fs::directory_iterator()) ==
        1);
}

TEST_CASE("run directory: a line of the log has exactly the documented keys") {
  EpochRecord r = record(3);
  const auto json = nlohmann::ordered_json::parse(drnas::to_json(r));
  std::vector<std::string> keys;
  for (const auto& item : json.items()) keys.push_back(item.key());
  CHECK(keys == std::vector<std::string>{"epoch", "stage", "learning_rate", "train_loss",
                                         "train_top1", "val_loss", "val_top1", "genotype",
                                         "concentrations", "step_ms", "images_per_second",
                                         "seconds", "peak_bytes", "pinned_bytes"});
  CHECK(json["epoch"] == 3);
  CHECK(json["stage"] == 2);
  CHECK(json["learning_rate"].get<double>() == r.learning_rate);
  CHECK(json["train_loss"].get<double>() == r.train_loss);
  CHECK(json["train_top1"].get<double>() == r.train_top1);
  CHECK(json["val_loss"].get<double>() == r.val_loss);
  CHECK(json["val_top1"].get<double>() == r.val_top1);
  CHECK(json["genotype"] == r.genotype);
  CHECK(json["concentrations"].get<std::vector<std::vector<double>>>() == r.concentrations);
  CHECK(json["step_ms"] == nlohmann::ordered_json{{"architecture", 3.5}, {"weight", 4.5}});
  CHECK(json["images_per_second"].get<double>() == r.images_per_second);
  CHECK(json["peak_bytes"]["total"] == r.peak_bytes);
  CHECK(json["peak_bytes"]["by_tag"].get<std::map<std::string, std::int64_t>>() ==
        r.peak_bytes_by_tag);
  CHECK(json["pinned_bytes"] == r.pinned_bytes);
  r.table = drnas::TableAccuracy{94.36, 73.51, 46.34};
  const auto with_table = nlohmann::ordered_json::parse(drnas::to_json(r));
  CHECK(with_table.size() == keys.size() + 1);
  CHECK(with_table["table"] ==
        nlohmann::ordered_json{{"cifar10", 94.36}, {"cifar100", 73.51}, {"imagenet16_120", 46.34}});
}

TEST_CASE("run directory: one process at a time") {
  const TemporaryFolder folder;
  SearchOptions resumed = options_in(folder.path / "run");
  {
    const RunFolder run = RunFolder::open(resumed);
    resumed.resume = true;
    const RunFolder copy = run;
    check_fails([&] { RunFolder::open(resumed); },
                {resumed.out.string(), "another process works in this folder"});
  }
  CHECK_NOTHROW(RunFolder::open(resumed));
}

TEST_CASE("run directory: the log grows by whole lines and is cut back to a checkpoint") {
  const TemporaryFolder folder;
  const RunFolder run = RunFolder::open(options_in(folder.path / "run"));
  run.truncate_log(0);  // a run that was stopped in its first epoch has no log
  check_fails([&] { run.truncate_log(1); },
              {run.log_path().string(), "0 whole lines", "expected 1"});
  for (int epoch = 1; epoch <= 4; ++epoch) {
    run.append_log(to_json(record(epoch)));
    const auto lines = lines_of(run.log_path());
    REQUIRE(lines.size() == static_cast<std::size_t>(epoch));
    CHECK(lines.back() == drnas::to_json(record(epoch)));
  }
  const std::string four = drnas::read_text_file(run.log_path());
  run.truncate_log(4);
  CHECK(drnas::read_text_file(run.log_path()) == four);
  drnas::write_file_atomically(run.log_path(), four + "{\"epoch\":5,\"sta");
  check_fails([&] { run.truncate_log(5); }, {"4 whole lines", "expected 5"});
  run.truncate_log(4);
  CHECK(drnas::read_text_file(run.log_path()) == four);
  run.truncate_log(2);
  const auto lines = lines_of(run.log_path());
  REQUIRE(lines.size() == 2);
  CHECK(lines.back() == drnas::to_json(record(2)));
  run.append_log(to_json(record(3)));
  CHECK(lines_of(run.log_path()).back() == drnas::to_json(record(3)));
  run.truncate_log(0);
  CHECK(drnas::read_text_file(run.log_path()).empty());
  fs::remove(run.log_path());
  fs::create_directory(run.log_path());
  check_fails([&] { run.append_log(to_json(record(1))); },
              {"cannot write " + run.log_path().string()});
}

TEST_CASE("run directory: resume takes the stored options and only harmless new ones") {
  const TemporaryFolder folder;
  SearchOptions started = options_in(folder.path / "run");
  started.epochs = 7;
  started.seed = 5;
  const std::string configuration = RunFolder::open(started).configuration();
  CHECK(configuration.find("epochs = 7\n") != std::string::npos);
  CHECK(configuration.find("threads") == std::string::npos);

  SearchOptions now = options_in(folder.path / "run");
  now.resume = true;
  now.threads = 3;
  now.memory_limit = 1 << 30;
  now.quiet = true;
  now.log_every = 1;
  now.checkpoint_every = 2;
  SearchOptions expected = started;
  expected.resume = true;
  CHECK(drnas::resume_options(now, {given("out"), given("resume")}) == expected);
  expected.threads = 3;
  expected.memory_limit = 1 << 30;
  expected.quiet = true;
  expected.log_every = 1;
  expected.checkpoint_every = 2;
  const SearchOptions resumed = drnas::resume_options(
      now, {given("threads"), given("memory-limit"), given("quiet"), given("log-every"),
            given("checkpoint-every"), given("out"), given("resume"), given("preset")});
  CHECK(resumed == expected);
  const RunFolder run = RunFolder::open(resumed);
  CHECK(run.configuration() == configuration);
  CHECK_NOTHROW(RunFolder::check(resumed));

  check_fails([&] { drnas::resume_options(now, {given("epochs")}); },
              {"--epochs 100", "expected 7", "--resume"});
  check_fails([&] { drnas::resume_options(now, {given("seed")}); }, {"--seed 2", "expected 5"});
  check_fails([&] { RunFolder::open(now); }, {"expected", "(--resume)"});
}

TEST_CASE("run directory: resume where there is no run") {
  const TemporaryFolder folder;
  SearchOptions options = options_in(folder.path / "none");
  options.resume = true;
  check_fails([&] { RunFolder::open(options); }, {"none", "config.toml"});
  check_fails([&] { drnas::resume_options(options, {}); }, {"none", "config.toml"});
  fs::create_directory(options.out);
  check_fails([&] { RunFolder::check(options); }, {"none", "config.toml"});
  drnas::write_file_atomically(options.out / "config.toml",
                               std::string_view("epochs = 3\nwhat = 1\n"));
  check_fails([&] { RunFolder::open(options); }, {"config.toml line 2", "'what'"});
}

TEST_CASE("signals: the first one is noted, the second one ends the process") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      drnas::catch_stop_signals();
      if (drnas::stop_signal() != 0) _exit(1);
      raise(number);
      if (drnas::stop_signal() != number) _exit(2);
      raise(SIGTERM);
      _exit(3);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGTERM);
  }
}

TEST_CASE("signals: a closed pipe, and a SIGHUP that nohup ignores, end nothing") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGHUP, SIG_IGN);
    drnas::catch_stop_signals();
    for (const int number : {SIGPIPE, SIGHUP}) raise(number);
    if (drnas::stop_signal() != 0) _exit(1);
    raise(SIGTERM);
    raise(SIGHUP);  // while the checkpoint is written
    _exit(drnas::stop_signal() == SIGTERM ? 0 : 2);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE(
    "run directory: an empty one, as a process killed at its first write leaves it, is adopted") {
  const TemporaryFolder folder;
  SearchOptions options = options_in(folder.path / "run");
  fs::create_directory(options.out);
  drnas::write_file_atomically(options.out / "config.toml.0123abcd.tmp", std::string_view("epo"));
  options.resume = true;
  check_fails([&] { RunFolder::check(options); }, {"holds no run", "without --resume"});
  options.resume = false;
  RunFolder::check(options);
  const RunFolder run = RunFolder::open(options);
  CHECK(std::distance(fs::directory_iterator(options.out), fs::directory_iterator()) == 1);
  run.discard();
  CHECK(fs::is_empty(options.out));  // it was there before
  const RunFolder second = RunFolder::open(options_in(folder.path / "second"));
  second.discard();
  CHECK_FALSE(fs::exists(folder.path / "second"));
}

TEST_CASE("run directory: a log whose line i is not of epoch i is left as it is") {
  const TemporaryFolder folder;
  const RunFolder run = RunFolder::open(options_in(folder.path / "run"));
  for (const int epoch : {1, 2, 2, 3}) run.append_log(drnas::to_json(record(epoch)));
  const std::string before = drnas::read_text_file(run.log_path());
  check_fails([&] { run.truncate_log(3); }, {"log.jsonl line 3", "epoch 3", "3 epochs"});
  CHECK(drnas::read_text_file(run.log_path()) == before);
  for (const char* line : {"[]", "{}", "{\"epoch\": 1.9}", "{\"epoch\": \"1\"}", "nothing", ""}) {
    drnas::write_file_atomically(run.log_path(), std::string(line) + "\n");
    check_fails([&] { run.truncate_log(1); }, {"log.jsonl line 1", "epoch 1"});
  }
  drnas::write_file_atomically(run.log_path(), before);
  run.truncate_log(2);
  CHECK(lines_of(run.log_path()).size() == 2);
}

TEST_CASE("run directory: a log on a full disk stays whole, one that is a link is refused") {
  const TemporaryFolder folder;
  const RunFolder run = RunFolder::open(options_in(folder.path / "run"));
  run.append_log(drnas::to_json(record(1)));
  const std::string before = drnas::read_text_file(run.log_path());
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  drnas::let_large_writes_fail();
  const rlimit small{before.size() + 100, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto append = [&] { run.append_log(drnas::to_json(record(2))); };
  check_fails(append, {"cannot write", "log.jsonl", std::strerror(EFBIG)});
  setrlimit(RLIMIT_FSIZE, &limit);
  signal(SIGXFSZ, SIG_DFL);
  CHECK(drnas::read_text_file(run.log_path()) == before);
  fs::rename(run.log_path(), folder.path / "elsewhere");
  fs::create_symlink(folder.path / "elsewhere", run.log_path());
  check_fails(append, {"cannot write", "log.jsonl", std::strerror(ELOOP)});
  CHECK(drnas::read_text_file(folder.path / "elsewhere") == before);
}

TEST_CASE("run directory: run.json says what ran, and a resumed run has both sessions") {
  const TemporaryFolder folder;
  SearchOptions options = options_in(folder.path / "run");
  options.command = {"drnas_search", "--data", "a b\xff"};
  const RunFolder run = RunFolder::open(options);
  CHECK(run.begin_session(SearchOptions::program, options.command, drnas::Device::cpu).empty());
  const auto first = nlohmann::json::parse(drnas::read_text_file(run.session_path()));
  CHECK(first["program"] == "drnas_search");
  CHECK(first["version"] == drnas::version());
  CHECK(first["commit"] == drnas::git_commit());
  CHECK(first["device"] == "cpu");
  CHECK(first["threads"] == omp_get_max_threads());
  CHECK(first["cores"] == omp_get_num_procs());
  CHECK(first["memory_bytes"].get<std::int64_t>() > (1 << 20));
  CHECK_FALSE(first["processor"].get<std::string>().empty());
  CHECK_FALSE(first["onednn"].get<std::string>().empty());
  CHECK(first.contains("cuda") == (*drnas::cuda_version() != '\0'));
  CHECK_FALSE(first.contains("gpu"));
  CHECK(first["command"] == nlohmann::json{"drnas_search", "--data", "a b\xef\xbf\xbd"});
  std::tm parts{};
  const std::string started = first["started"];
  const char* end = strptime(started.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  REQUIRE(end == started.c_str() + started.size());
  CHECK(std::abs(std::difftime(std::time(nullptr), timegm(&parts))) < 3600);
  char host[256];
  REQUIRE(gethostname(host, sizeof host) == 0);
  for (const auto& item : first.items()) CHECK(item.value() != host);
  REQUIRE(first["sessions"].size() == 1);
  for (const auto& item : first["sessions"][0].items()) CHECK(first[item.key()] == item.value());
  CHECK(first.size() == first["sessions"][0].size() + 2);  // program and sessions

  options.command = {"drnas_search", "--resume"};
  CHECK(run.begin_session(SearchOptions::program, options.command, drnas::Device::cpu).empty());
  auto second = nlohmann::json::parse(drnas::read_text_file(run.session_path()));
  REQUIRE(second["sessions"].size() == 2);
  CHECK(second["sessions"][1]["command"] == nlohmann::json{"drnas_search", "--resume"});
  second["sessions"].erase(1);
  CHECK(second == first);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(threads + 1);
  const std::string note =
      run.begin_session(SearchOptions::program, options.command, drnas::Device::cpu);
  omp_set_num_threads(threads);
  CHECK(note == "threads: " + std::to_string(threads + 1) + ", the run began with " +
                    std::to_string(threads) + ": its sums are rounded differently from here on");
}

TEST_CASE("run directory: a broken run.json is kept beside a new one") {
  const TemporaryFolder folder;
  const SearchOptions options = options_in(folder.path / "run");
  const RunFolder run = RunFolder::open(options);
  const std::string deep(200000, '['), closed(200000, ']');
  for (const std::string& broken :
       {std::string("{\"sessions\": ["), std::string("{\"sessions\": 3}"), std::string("[]"),
        std::string(), "{\"sessions\": " + deep + closed + "}"}) {
    drnas::write_file_atomically(run.session_path(), broken);
    const std::string warning =
        run.begin_session(SearchOptions::program, options.command, drnas::Device::cpu);
    CHECK(warning.find(run.session_path().string()) == 0);
    CHECK(warning.find("run.json.broken") != std::string::npos);
    CHECK(warning.find('\n') == std::string::npos);
    CHECK(drnas::read_text_file(run.path() / "run.json.broken") == broken);
    const auto record = nlohmann::json::parse(drnas::read_text_file(run.session_path()));
    CHECK(record["sessions"].size() == 1);
  }
}
