// SPDX-License-Identifier: MIT
// Progressive searches in both spaces: stages, memory, and resuming across their boundary.
#include <cmath>
#include <numeric>

#include "engine/gpu.h"
#include "engine/safetensors.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"
#include "tests/nas/search/search_runs.h"

using namespace drnas;
using namespace drnas::test;

namespace {

#ifdef DRNAS_SIMT  // thread by thread: one space and one interruption
const std::vector<const char*> spaces{"nas-bench-201"};
const std::vector<int> interruptions{0};
#else
const std::vector<const char*> spaces{"nas-bench-201", "darts"};
const std::vector<int> interruptions{-1, 0, 1, 3};  // steps after the boundary
#endif

SearchOptions progressive(const fs::path& out, const std::string& space) {
  SearchOptions o = small_search(out);
  const bool darts = space == "darts";
  o.space = space;
  o.channels = darts ? 8 : 4;
  o.cells = 3;
  o.partial_channels = {4, 2};
  o.none_op = darts;
  o.keep_ops = {darts ? 8 : 5, 3};
  o.stage_epochs = {2, 2};
  o.epochs = 4;
  o.alpha_start_epoch = 1;
  o.limit_train = darts ? 48 : 80;
  if (darts) o.raw_outputs = "store";  // leaves room for the wider stage
  return o;
}

struct Listener : SearchObserver {
  std::string lines;
  void on_message(const std::string& line) override { lines += line + "\n"; }
};

std::int64_t kept_operations(const fs::path& run) {
  const SafetensorsFile file(run / "checkpoint.safetensors");
  std::int64_t sum = 0;
  for (const std::int64_t kept : file.values<std::int64_t>("kept")) sum += kept;
  return sum;
}

}  // namespace

TEST_CASE("progressive search: resumed across the boundary of stages it ends bit-equal") {
  const ScratchFolder scratch;
  for (const char* space : spaces) {
    CAPTURE(space);
    const SearchOptions whole =
        progressive(scratch / (std::string(space) + "-whole").c_str(), space);
    CHECK(search(whole).epochs_done == 4);
    const auto log = comparable_log(whole.out);
    REQUIRE(log.size() == 4);
    for (int epoch = 0; epoch < 4; ++epoch) CHECK(log[epoch]["stage"] == (epoch < 2 ? 1 : 2));
    const int steps = whole.space == "darts" ? 2 : 3;  // of an epoch
    // Before the boundary, at it, and after it.
    for (const int behind : interruptions) {
      const int at = 2 * steps + behind;
      CAPTURE(at);
      SearchOptions part = whole;
      part.out = scratch / (std::string(space) + std::to_string(at)).c_str();
      CHECK(search(part, Interrupter(at)).interrupted_by_signal == SIGINT);
      part.resume = true;
      CHECK(search(part).epochs_done == 4);
      check_same_run(whole.out, part.out);
    }
  }
}

TEST_CASE("progressive search: stages stay within the first one's memory and say what they hold") {
  const ScratchFolder scratch;
  for (const char* space : spaces) {
    CAPTURE(space);
    const SearchOptions o = progressive(scratch / (std::string(space) + "-memory").c_str(), space);
    std::string note;
    const Device device = choose_device(o.device, note);
    const std::int64_t first = SearchInputs(o, false).plan(o, device).peak_bytes;
    const bool checks = Allocator::of(device).set_checks(false);
    Listener listener;
    catch_stop_signals();
    run_search(o, listener);
    Allocator::of(device).set_checks(checks);
    const auto log = comparable_log(o.out);
    CHECK(log[1]["peak_bytes"]["total"] == first);
    CHECK(log[3]["peak_bytes"]["total"] <= first);
    CHECK(contains(listener.lines, "stage 1: peak " + format_bytes(first) + ", weights"));
    CHECK(contains(listener.lines, "stage 2: K 2, 3 operations an edge"));
    // The planned peak of the second stage is what it reached.
    const std::int64_t second = log[3]["peak_bytes"]["total"];
    CHECK(contains(listener.lines, "planned peak " + format_bytes(second) + " of"));
    CHECK(kept_operations(o.out) == 3 * (o.space == "darts" ? 28 : 6));
  }
}

#ifndef DRNAS_SIMT
TEST_CASE("search: recipes rank the inputs of a DARTS node by different weights") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "published");
  o.space = "darts";
  o.cells = 3;
  o.limit_train = 32;
  o.batch_size = 8;
  o.image_size = 8;
  o.alpha_learning_rate = 0.5;
  o.lambda = 0;  // alpha spreads until both rankings differ
  const std::string published = search(o).genotype;
  SearchOptions by_mean = o;
  by_mean.recipe = "paper";
  by_mean.out = scratch / "paper";
  const std::string paper = search(by_mean).genotype;

  const auto alpha = SafetensorsFile(o.out / "checkpoint.safetensors").values<double>("alpha");
  REQUIRE(alpha.size() == 28 * 7);
  REQUIRE(SafetensorsFile(by_mean.out / "checkpoint.safetensors").values<double>("alpha") == alpha);
  const auto expected = [&](const auto& weight) {
    std::vector<std::vector<double>> rows;
    for (int e = 0; e < 28; ++e) {
      std::vector<double>& row = rows.emplace_back();
      for (int op = 0; op < 7; ++op) row.push_back(weight(alpha[e * 7 + op]));
      const double total = std::accumulate(row.begin(), row.end(), 0.0);
      for (double& value : row) value /= total;
    }
    return search_space("darts").derive(rows, false).genotype;
  };
  CHECK(published == expected([](double a) { return std::exp(a); }));
  CHECK(paper == expected([](double a) { return a > 0 ? a + 1 : std::exp(a); }));
  CHECK(published != paper);
}
#endif

TEST_CASE("progressive search: a stage that cannot fit, and a checkpoint of another stage") {
  const ScratchFolder scratch;
  SearchOptions o = progressive(scratch / "wide", "nas-bench-201");
  o.channels = 64;  // weights alone grow beyond what activations held
  o.image_size = 8;
  o.batch_size = 1;
  o.limit_train = 4;
  o.partial_channels = {64, 1};
  o.keep_ops = {5, 5};
  const std::string message = failure_of(o);
  CHECK(contains(message, "stage 2: needs"));
  CHECK(contains(message, "even where all raw outputs are rebuilt"));
  CHECK(!fs::exists(o.out));

  SearchOptions run = progressive(scratch / "run", "nas-bench-201");
  search(run, Interrupter(4));
  const fs::path checkpoint = run.out / "checkpoint.safetensors";
  {
    const SafetensorsFile file(checkpoint);
    SafetensorsWriter writer;
    for (const auto& [key, value] : file.metadata()) writer.set_metadata(key, value);
    for (const auto& [name, entry] : file.entries()) {
      if (entry.dtype == "F32") writer.add<float>(name, entry.shape, file.values<float>(name));
      if (entry.dtype == "F64") writer.add<double>(name, entry.shape, file.values<double>(name));
      if (entry.dtype != "I64") continue;
      auto values = file.values<std::int64_t>(name);
      if (name == "stage") values = {2};
      writer.add<std::int64_t>(name, entry.shape, values);
    }
    writer.write(checkpoint);
  }
  run.resume = true;
  const std::string mismatch = failure_of(run);
  CHECK(contains(mismatch, checkpoint.string()));
  CHECK(contains(mismatch, "stage 2 at epoch 2"));
}
