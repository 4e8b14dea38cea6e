// SPDX-License-Identifier: MIT
// Small searches that end with a selection, and the supernets that they leave.
#pragma once

#include <algorithm>

#include "engine/gpu.h"
#include "engine/parameters/checkpoint.h"
#include "nas/search/search_inputs.h"
#include "nas/search/selection_run.h"
#include "tests/nas/search/search_runs.h"

namespace drnas::test {

#ifdef DRNAS_SIMT
/// The host executor runs these files as well, slowly: there only what differs on CUDA.
inline constexpr bool few = true;
#else
inline constexpr bool few = false;
#endif

/// One epoch of a small network.
inline SearchOptions selecting(const fs::path& out) {
  SearchOptions o = small_search(out);
  o.image_size = 8;
  o.limit_train = few ? 16 : 24;  // 12 images a half: batches of 8 and 4; few: one of 8
  o.batch_size = 8;
  o.epochs = 1;
  return o;
}

inline std::vector<nlohmann::json> decisions_of(const fs::path& run) {
  std::vector<nlohmann::json> lines;
  std::ifstream in(run / "selection.jsonl");
  for (std::string line; std::getline(in, line);) {
    const nlohmann::json json = nlohmann::json::parse(line);
    if (json.contains("decision")) lines.push_back(json);
  }
  return lines;
}

inline void check_same_selection(const fs::path& a, const fs::path& b) {
  check_same_run(a, b);
  CHECK(read_text_file(a / "selection.jsonl") == read_text_file(b / "selection.jsonl"));
}

/// A supernet as a search has left it, and what a selection needs beside it.
struct Ended {
  SearchOptions options;
  Device device;
  SearchInputs inputs;
  SearchMemory memory;
  BatchSources batches;
  std::unique_ptr<SearchMethod> method;
  std::unique_ptr<Supernet> supernet;
  std::unique_ptr<SupernetTrainer> trainer;

  static Device device_of(const SearchOptions& o) {
    std::string note;
    return choose_device(o.device, note);
  }

  explicit Ended(const SearchOptions& o)
      : options(o),
        device(device_of(o)),
        inputs(o, false),
        memory(inputs.plan(o, device)),
        batches(inputs.batch_sources(o, device, memory)),
        method(search_method(o.method).make(method_options(o, device))),
        supernet(make_supernet(memory.network, o.seed, device)) {
    const SafetensorsFile file(o.out / "checkpoint.safetensors");
    load_parameters(file, supernet->parameters());
    supernet->parameters().velocity().clear();
    load_table(file, "alpha", method->law().alpha().values);
    TrainerOptions t = trainer_options(o);
    t.clip_with_alpha = false;
    trainer = std::make_unique<SupernetTrainer>(*supernet, method->law(), nullptr, t);
    trainer->set_learning_rate(o.learning_rate / 10);
  }

  /// Accuracy and loss of the evaluation's images, as decision `number` (from 0) sees them.
  EpochTotals evaluate(const std::vector<double>& theta, int number,
                       const PassSetting& pass = passes::probe) {
    trainer->give_theta(theta);
    EpochTotals totals;
    batches.evaluation->seek((options.epochs + number) * batches.evaluation->batches());
    for (std::int64_t i = 0; i < batches.evaluation->batches(); ++i)
      totals.add(trainer->run(pass, batches.evaluation->next()));
    return totals;
  }

  void tune(const std::vector<double>& theta, int round) {
    const std::int64_t steps = options.select_tune * batches.train->batches();
    trainer->give_theta(theta);
    batches.train->seek(options.epochs * batches.train->batches() + round * steps);
    for (std::int64_t i = 0; i < steps; ++i) trainer->run(passes::tuning, batches.train->next());
  }
};

/// A search's tensors peak where its plan says.
inline void check_peak_is_planned(const SearchOptions& o) {
  const Device device = Ended::device_of(o);
  const SearchInputs inputs(o, false);
  const std::int64_t planned = inputs.plan(o, device).peak_bytes;
  const bool checks = Allocator::of(device).set_checks(false);
  search(o);
  Allocator::of(device).set_checks(checks);
  CHECK(Allocator::of(device).counters().peak == planned);
}

/// Copies the run's folder, as a kill would leave it, to FOLDER-N where N steps of the selection
/// are done.
struct Snapshots : SearchObserver {
  fs::path run;
  std::vector<int> at;
  int seen = 0;
  Snapshots(fs::path folder, std::vector<int> steps)
      : run(std::move(folder)), at(std::move(steps)) {}
  static fs::path copy_of(const fs::path& run, int steps) {
    return run.string() + "-" + std::to_string(steps);
  }
  void on_step(const StepProgress& p) override {
    CHECK(p.epoch <= p.epochs);
    CHECK(p.step <= p.steps);
    if (p.phase == "selection" && std::find(at.begin(), at.end(), ++seen) != at.end())
      fs::copy(run, copy_of(run, seen), fs::copy_options::recursive);
  }
};

}  // namespace drnas::test
