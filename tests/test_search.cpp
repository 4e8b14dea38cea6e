// SPDX-License-Identifier: MIT
// Whole searches on small synthetic images: repeatable, resumable bit by bit, and safe when
// something goes wrong.
#include "nas/search.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "engine/gpu.h"
#include "kernels/error.h"
#include "nas/search_inputs.h"
#include "nas/signals.h"

namespace fs = std::filesystem;
using namespace drnas;

namespace {

class ScratchFolder {
 public:
  ScratchFolder()
      : path_(fs::temp_directory_path() / ("drnas-search-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~ScratchFolder() { fs::remove_all(path_); }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

SearchOptions small_search(const fs::path& out) {
  SearchOptions o;
  o.dataset = "synthetic";
  o.image_size = 16;
  o.limit_train = 80;  // 40 images a half: batches of 16, 16 and 8
  o.batch_size = 16;
  o.channels = 4;
  o.cells = 1;
  o.partial_channels = 2;
  o.epochs = 3;
  o.threads = 2;
#ifdef DRNAS_SIMT
  o.device = "cuda";  // the host executor runs this file as well
#endif
  o.out = out;
  return o;
}

/// Sends the process a signal when `at` search steps have been reported.
struct Interrupter : SearchObserver {
  int at, seen = 0;
  const char* phase;
  explicit Interrupter(int steps, const char* in = "search") : at(steps), phase(in) {}
  void on_step(const StepProgress& p) override {
    if (p.phase == phase && ++seen == at) std::raise(SIGINT);
  }
};

/// The log without what a clock decides.
std::vector<nlohmann::json> comparable_log(const fs::path& run) {
  std::vector<nlohmann::json> epochs;
  std::ifstream in(run / "log.jsonl");
  for (std::string line; std::getline(in, line);) {
    nlohmann::json epoch = nlohmann::json::parse(line);
    for (const char* timing : {"step_ms", "images_per_second"}) CHECK(epoch.erase(timing) == 1);
    epochs.push_back(std::move(epoch));
  }
  return epochs;
}

void check_same_run(const fs::path& a, const fs::path& b) {
  CHECK(comparable_log(a) == comparable_log(b));
  CHECK(read_file(a / "checkpoint.safetensors") == read_file(b / "checkpoint.safetensors"));
  CHECK(read_text_file(a / "genotype.txt") == read_text_file(b / "genotype.txt"));
}

SearchResult search(const SearchOptions& options, SearchObserver&& observer = {}) {
  catch_stop_signals();
  return run_search(options, observer);
}

std::string failure_of(const SearchOptions& options) {
  try {
    search(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

}  // namespace

TEST_CASE("search: two runs with one seed are bit-equal, another seed differs") {
  const ScratchFolder scratch;
  for (const char* method : {"drnas", "darts"}) {
    CAPTURE(method);
    SearchOptions first = small_search(scratch / (std::string("first-") + method).c_str());
    first.method = method;
    SearchOptions second = first, other = first;
    second.out = scratch / (std::string("second-") + method).c_str();
    other.out = scratch / (std::string("other-") + method).c_str();
    other.seed = first.seed + 1;
    CHECK(search(first).epochs_done == 3);
    search(second);
    search(other);
    check_same_run(first.out, second.out);
    CHECK(comparable_log(first.out) != comparable_log(other.out));
    CHECK(comparable_log(first.out).size() == 3);
  }
}

TEST_CASE(
    "search: stopped by SIGINT anywhere and resumed, it ends bit-equal to an uninterrupted run") {
  const ScratchFolder scratch;
  SearchOptions whole = small_search(scratch / "whole");
  whole.regulariser = "kl";
  whole.alpha_start_epoch = 1;
  search(whole);
  const auto interrupted_and_resumed = [&](const char* name, Interrupter&& observer,
                                           int epochs_before) {
    CAPTURE(name);
    SearchOptions part = whole;
    part.out = scratch / name;
    const SearchResult stopped = search(part, std::move(observer));
    CHECK(stopped.interrupted_by_signal == SIGINT);
    CHECK(stopped.epochs_done == epochs_before);
    part.resume = true;
    const SearchResult resumed = search(part);
    CHECK(resumed.interrupted_by_signal == 0);
    CHECK(resumed.epochs_done == 3);
    check_same_run(whole.out, part.out);
  };
  interrupted_and_resumed("first-epoch", Interrupter(1), 0);
  interrupted_and_resumed("middle", Interrupter(5), 1);
  interrupted_and_resumed("epoch-end", Interrupter(6), 1);
  interrupted_and_resumed("evaluation", Interrupter(4, "evaluation"), 1);
}

TEST_CASE("search: tensors peak where the plan says") {
  const ScratchFolder scratch;
  const SearchOptions o = small_search(scratch / "planned");
  std::string note;
  const SearchInputs inputs(o, false);
  const SearchMemory plan = inputs.plan(o, choose_device(o.device, note));
  const bool checks = Allocator::of(choose_device(o.device, note)).set_checks(false);
  search(o);
  Allocator::of(choose_device(o.device, note)).set_checks(checks);
  CHECK(comparable_log(o.out).back()["peak_bytes"]["total"] == plan.peak_bytes);
}

TEST_CASE("search: a memory budget that is too small is one line and leaves no folder") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "small");
  o.memory_limit = 1024 * 1024;
  const std::string message = failure_of(o);
  CHECK(contains(message, "--memory-limit 1048576"));
  CHECK(contains(message, "the search needs"));
  CHECK(!contains(message, "\n"));
  CHECK(!fs::exists(o.out));
}

TEST_CASE("search: a cut or foreign checkpoint is named and left alone") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "run");
  search(o, Interrupter(5));
  o.resume = true;
  const fs::path checkpoint = o.out / "checkpoint.safetensors";
  const auto whole = read_file(checkpoint);
  const std::string log = read_text_file(o.out / "log.jsonl");
  write_file_atomically(checkpoint, std::span(whole).first(whole.size() / 2));
  CHECK(contains(failure_of(o), checkpoint.string()));
  CHECK(read_file(checkpoint).size() == whole.size() / 2);
  CHECK(read_text_file(o.out / "log.jsonl") == log);

  SearchOptions other = small_search(scratch / "other");
  other.channels = 8;
  search(other, Interrupter(1));
  fs::copy_file(other.out / "checkpoint.safetensors", checkpoint,
                fs::copy_options::overwrite_existing);
  CHECK(contains(failure_of(o), "another configuration"));

  write_file_atomically(checkpoint, whole);
  CHECK(search(o).epochs_done == 3);
}

TEST_CASE(
    "search: what is not finite stops the run with the operation's name and the last good state on "
    "disk") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "run");
  o.learning_rate = 1e3;  // a few steps overflow float32
  o.learning_rate_min = 1e3;
  o.weight_decay = 0.5;
  o.grad_clip = 0;
  o.epochs = 50;
  const std::string message = failure_of(o);
  CHECK(contains(message, "is not finite"));
  CHECK(contains(message, "operation"));
  REQUIRE(fs::exists(o.out / "checkpoint.safetensors"));
}
