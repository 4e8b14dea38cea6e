// SPDX-License-Identifier: MIT
#include "nas/diagnostics/evidence.h"

#include <map>

#include "engine/gpu.h"
#include "engine/safetensors.h"
#include "nas/method/search_method.h"
#include "nas/search/search_inputs.h"
#include "tests/nas/search/search_runs.h"
#include "tests/support/option_files.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr const char* evidence_keys[] = {"trajectory", "hessian", "warnings"};

SearchOptions with_evidence(SearchOptions o) {
  o.trajectory = 20;
  o.hessian = "every=2,samples=3";
  return o;
}

/// The log of a run without evidence and without what its passes may add to memory.
std::vector<nlohmann::json> bare_log(const fs::path& run) {
  auto log = comparable_log(run);
  for (auto& epoch : log) {
    for (const char* key : evidence_keys) epoch.erase(key);
    epoch.erase("peak_bytes");
  }
  return log;
}

/// What a checkpoint holds besides the peak of memory.
std::map<std::string, std::vector<double>> tensors(const fs::path& run) {
  const SafetensorsFile file(run / "checkpoint.safetensors");
  std::map<std::string, std::vector<double>> all;
  for (const auto& [name, entry] : file.entries()) {
    const auto enter = [&, name = name](const auto& values) {
      all[name].assign(values.begin(), values.end());
    };
    if (entry.dtype == "F32") enter(file.values<float>(name));
    if (entry.dtype == "F64") enter(file.values<double>(name));
    if (entry.dtype == "I64" && !name.starts_with("progress.peak"))
      enter(file.values<std::int64_t>(name));
  }
  return all;
}

/// A seed whose alpha starts with `skips` skip connections or more in the chosen cell.
std::uint64_t seed_with_skips(int skips) {
  for (std::uint64_t seed = 1;; ++seed) {
    const auto d = make_method("drnas", {6, 5, seed, Device::cpu});
    if (search_space("nas-bench-201").derive(d->law().mean(), false).skips >= skips) return seed;
  }
}

#ifndef DRNAS_SIMT
/// Makes the logits of a checkpoint's network infinite.
void spoil_classifier(const fs::path& checkpoint) {
  SafetensorsWriter writer;
  bool found = false;
  {
    const SafetensorsFile file(checkpoint);
    for (const auto& [key, value] : file.metadata()) writer.set_metadata(key, value);
    for (const auto& [name, entry] : file.entries()) {
      const auto enter = [&, name = name, shape = entry.shape](const auto& values) {
        writer.add(name, shape, std::span(values));
      };
      if (entry.dtype == "F32") {
        std::vector<float> values = file.values<float>(name);
        const bool spoiled = name.ends_with("classifier.bias") && !name.starts_with("momentum");
        if (spoiled) values[0] = std::numeric_limits<float>::infinity();
        found = found || spoiled;
        enter(values);
      }
      if (entry.dtype == "F64") enter(file.values<double>(name));
      if (entry.dtype == "I64") enter(file.values<std::int64_t>(name));
    }
  }
  REQUIRE(found);
  writer.write(checkpoint);
}
#endif

struct Messages : SearchObserver {
  std::string& lines;
  explicit Messages(std::string& text) : lines(text) {}
  void on_message(const std::string& line) override { lines += line + "\n"; }
};

}  // namespace

TEST_CASE("evidence: a search is the same bit by bit with and without it") {
  const ScratchFolder scratch;
#ifdef DRNAS_SIMT  // thread by thread: one space
  const std::vector<const char*> spaces{"nas-bench-201"};
#else
  const std::vector<const char*> spaces{"nas-bench-201", "darts"};
#endif
  for (const char* space : spaces) {
    CAPTURE(space);
    SearchOptions plain = small_search(scratch / (std::string(space) + "-plain").c_str());
    plain.space = space;
    if (plain.space == "darts") {
      plain.cells = 3;
      plain.limit_train = 16;
      plain.batch_size = 8;
      plain.image_size = 8;
    }
    SearchOptions full = with_evidence(plain);
    full.out = scratch / (std::string(space) + "-full").c_str();
    search(plain);
    search(full);
    CHECK(bare_log(plain.out) == bare_log(full.out));
    CHECK(tensors(plain.out) == tensors(full.out));
    CHECK(read_text_file(plain.out / "genotype.txt") == read_text_file(full.out / "genotype.txt"));
    const auto log = comparable_log(full.out);
    for (int epoch = 0; epoch < 3; ++epoch) {
      CHECK(log[epoch]["trajectory"]["samples"] == 20);
      REQUIRE(log[epoch].contains("hessian") == (epoch % 2 == 0));
      if (epoch % 2) continue;
      const auto& h = log[epoch]["hessian"];
      CHECK(h["parameters"] == (plain.space == "darts" ? 196 : 30));
      CHECK(h["batch"] == plain.batch_size);
      CHECK(h["expectation"]["samples"] == 3);
      CHECK(h["bound"]["value"].get<double>() ==
            h["bound"]["loss"].get<double>() + h["bound"]["trace_term"].get<double>());
      CHECK(h["theta"]["norm"] >= h["theta"]["spectral_norm"]);
    }
    for (const auto& epoch : comparable_log(plain.out))
      for (const char* key : evidence_keys) CHECK(!epoch.contains(key));
  }
}

TEST_CASE("evidence: all passes of a Hessian see the same batch") {
  SearchOptions o = small_search("unused");
  std::string note;
  const Device device = choose_device(o.device, note);
  const SearchInputs inputs(o, false);
  const SearchMemory memory = inputs.plan(o, device);
  const auto supernet = make_supernet(memory.network, o.seed, device);
  const auto method = make_method("drnas", {6, 5, o.seed, device});
  Trainer trainer(*supernet, *method, trainer_options(o));
  const BatchSources batches = inputs.batch_sources(o, device, memory);
  std::vector<double> theta(30, 0.2), first, again;
  // The last batch of an epoch is the shorter one: a step too far would read past the epoch's
  // order.
  for (const std::int64_t position : {std::int64_t{0}, batches.evaluation->batches() - 1}) {
    batches.evaluation->seek(position);
    const DeviceBatch& batch = batches.evaluation->next();
    const double loss = trainer.probe(batch, theta, &first);
    for (int pass = 0; pass < 3; ++pass) {
      CHECK(trainer.probe(batch, theta, &again) == loss);
      CHECK(again == first);
      CHECK(trainer.probe(batch, theta, nullptr) == loss);
    }
  }
}

TEST_CASE("evidence: a softmax has a Hessian but neither bound nor expectation") {
  const ScratchFolder scratch;
  SearchOptions o = with_evidence(small_search(scratch / "softmax"));
  o.method = "darts";
  o.epochs = 1;
  search(o);
  const auto epoch = comparable_log(o.out).at(0);
  CHECK(epoch["trajectory"]["distinct"] == 1);
  CHECK(epoch["trajectory"]["agreement"] == doctest::Approx(1));
  CHECK(epoch["hessian"]["mu"].size() == 5);
  CHECK(!epoch["hessian"].contains("bound"));
  CHECK(!epoch["hessian"].contains("expectation"));
}

TEST_CASE("evidence: a collapse to skip connections warns, and stops where it is told to") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "warned");
  o.seed = seed_with_skips(3);
  o.alpha_learning_rate = 1e-12;  // the cell stays as it starts
  std::string lines;
  CHECK(search(o, Messages(lines)).stopped_on.empty());
  auto log = comparable_log(o.out);
  REQUIRE(log.size() == 3);
  CHECK(log[0]["warnings"].size() == 1);
  CHECK(!log[1].contains("warnings"));
  CHECK(contains(lines, "warning, epoch 1: skip connections: "));

  o.out = scratch / "stopped";
  o.stop_on = "nan,skip";
  const SearchResult result = search(o);
  CHECK(result.stopped_on == "skip");
  CHECK(result.epochs_done == 1);
  CHECK(result.genotype_epoch == 1);
  log = comparable_log(o.out);
  REQUIRE(log.size() == 1);
  CHECK(log[0]["stopped_on"] == "skip");
  CHECK(log[0]["good_epoch"] == result.genotype_epoch);
  // It has ended, and says so again; without --stop-on it goes on.
  o.resume = true;
  const SearchResult again = search(o);
  CHECK(again.stopped_on == "skip");
  CHECK(again.epochs_done == 1);
  CHECK(again.genotype == result.genotype);
  CHECK(comparable_log(o.out).size() == 1);
  o.stop_on.clear();
  CHECK(search(o).epochs_done == 3);
  CHECK(comparable_log(o.out).size() == 3);
}

#ifndef DRNAS_SIMT  // the host executor takes minutes for these
TEST_CASE("evidence: a search stopped in a Hessian goes on bit by bit") {
  const ScratchFolder scratch;
  const SearchOptions whole = with_evidence(small_search(scratch / "whole"));
  search(whole);
  SearchOptions part = whole;
  part.out = scratch / "part";
  // 33 passes an epoch: 30 columns, 3 draws.
  const SearchResult stopped = search(part, Interrupter(50, "Hessian"));
  CHECK(stopped.interrupted_by_signal == SIGINT);
  CHECK(stopped.epochs_done == 2);
  part.resume = true;
  CHECK(search(part).epochs_done == 3);
  check_same_run(whole.out, part.out);
}

TEST_CASE("evidence: where nothing is finite a search ends with warnings, not with an error") {
  const ScratchFolder scratch;
  SearchOptions o = with_evidence(small_search(scratch / "spoiled"));
  // Stopped after the last step, within the evidence of the last epoch.
  REQUIRE(search(o, Interrupter(50, "Hessian")).epochs_done == 2);
  spoil_classifier(o.out / "checkpoint.safetensors");
  o.resume = true;
  CHECK(search(o).epochs_done == 3);
  const auto epoch = comparable_log(o.out).at(2);
  CHECK(epoch["val_loss"].is_null());
  CHECK(!epoch.contains("hessian"));
  CHECK(epoch["trajectory"]["samples"] == 20);
  REQUIRE(epoch["warnings"].size() == 2);
  CHECK(contains(epoch["warnings"][0].get<std::string>(), "Hessian: an entry is not finite"));
  CHECK(contains(epoch["warnings"][1].get<std::string>(), "validation loss is not finite"));
}

TEST_CASE("evidence: pruned operations are no part of the Hessian") {
  const ScratchFolder scratch;
  SearchOptions o = with_evidence(small_search(scratch / "pruned"));
  o.hessian = "every=1,samples=2";
  o.channels = 4;
  o.cells = 3;
  o.partial_channels = {4, 2};
  o.keep_ops = {5, 3};
  o.stage_epochs = {2, 1};
  o.alpha_start_epoch = 1;
  o.limit_train = 80;
  search(o);
  const auto log = comparable_log(o.out);
  CHECK(log[1]["hessian"]["parameters"] == 30);
  CHECK(log[2]["hessian"]["parameters"] == 18);
  CHECK(!log[1].contains("kept"));
  REQUIRE(log[2]["kept"].size() == 6);
  for (const auto& row : log[2]["kept"])
    CHECK(row[0].get<int>() + row[1].get<int>() + row[2].get<int>() + row[3].get<int>() +
              row[4].get<int>() ==
          3);
}

TEST_CASE("evidence: what a log shows, and lines that are no epoch") {
  const ScratchFolder scratch;
  const SearchOptions o = with_evidence(small_search(scratch / "run"));
  search(o);
  const fs::path log = o.out / "log.jsonl";
  const auto signs = logged_signs(log, search_space("nas-bench-201"));
  const auto lines = comparable_log(o.out);
  REQUIRE(signs.size() == 3);
  for (int i = 0; i < 3; ++i) {
    CHECK(signs[i].epoch == i + 1);
    CHECK(signs[i].genotype == lines[i]["genotype"]);
    CHECK(signs[i].val_loss == lines[i]["val_loss"]);
    CHECK(signs[i].eigenvalue.has_value() == (i % 2 == 0));
  }
  write_file_atomically(log, read_text_file(log) + "{\"epoch\": 4}\n");
  try {
    logged_signs(log, search_space("nas-bench-201"));
    FAIL_CHECK("expected an error");
  } catch (const Error& error) {
    CHECK(contains(error.what(), log.string() + " line 4: no epoch of a search"));
  }
  CHECK(logged_signs(scratch / "none", search_space("nas-bench-201")).empty());
}

TEST_CASE("evidence: options that do not go together") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "bad");
  o.stop_on = "eigenvalue";
  CHECK(contains(failure_of(o), "--stop-on eigenvalue: expected skip or nan without --hessian"));
  o.stop_on = "collapse";
  CHECK(contains(failure_of(o), "--stop-on collapse: 'collapse', expected skip"));
  o.stop_on = "";
  o.hessian = "5";
  CHECK(contains(failure_of(o), "--hessian 5: expected every=K"));
  o.hessian = "";
  o.trajectory = -1;
  CHECK(contains(failure_of(o), "--trajectory -1: expected 0 to"));
  CHECK(!fs::exists(o.out));
}
#endif
