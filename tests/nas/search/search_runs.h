// SPDX-License-Identifier: MIT
// Small searches on synthetic images, and what their folders hold.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/files.h"
#include "kernels/core/error.h"
#include "nas/run/signals.h"
#include "nas/search/search.h"

namespace drnas::test {

namespace fs = std::filesystem;

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

inline SearchOptions small_search(const fs::path& out) {
  SearchOptions o;
  o.dataset = "synthetic";
  o.image_size = 16;
  o.limit_train = 80;  // 40 images a half: batches of 16, 16 and 8
  o.batch_size = 16;
  o.channels = 4;
  o.cells = 1;
  o.partial_channels = {2};
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
inline std::vector<nlohmann::json> comparable_log(const fs::path& run) {
  std::vector<nlohmann::json> epochs;
  std::ifstream in(run / "log.jsonl");
  for (std::string line; std::getline(in, line);) {
    nlohmann::json epoch = nlohmann::json::parse(line);
    for (const char* timing : {"step_ms", "images_per_second", "seconds"})
      CHECK(epoch.erase(timing) == 1);
    epoch.erase("phase_ms");  // not of recorded steps
    epochs.push_back(std::move(epoch));
  }
  return epochs;
}

inline void check_same_run(const fs::path& a, const fs::path& b) {
  CHECK(comparable_log(a) == comparable_log(b));
  CHECK(read_file(a / "checkpoint.safetensors") == read_file(b / "checkpoint.safetensors"));
  CHECK(read_text_file(a / "genotype.txt") == read_text_file(b / "genotype.txt"));
}

inline SearchResult search(const SearchOptions& options, SearchObserver&& observer = {}) {
  catch_stop_signals();
  return run_search(options, observer);
}

inline std::string failure_of(const SearchOptions& options) {
  try {
    search(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

}  // namespace drnas::test
