// SPDX-License-Identifier: MIT
// docs/extending.md, tried out: a data set, a space and a method of one's own in whole searches, as
// the command line would start them.
#include "engine/files.h"
#include "engine/safetensors.h"
#include "engine/stream.h"
#include "nas/options/train_presets.h"
#include "tests/extending/toy_dataset.h"
#include "tests/extending/toy_method.h"
#include "tests/extending/toy_space.h"
#include "tests/nas/search/search_runs.h"
#include "tests/support/option_files.h"

using namespace drnas;
using namespace drnas::test;

namespace {

void add_toys() {
  static const bool once = [] {
    add_dataset(toys::quarters);
    add_search_space(toys::chain_space());
    add_search_method(toys::random_paths);
    return true;
  }();
  static_cast<void>(once);
}

/// Options as typed.
SearchOptions options(const fs::path& out, std::vector<GivenOption> given) {
  given.push_back({"limit-train", "80", ""});
  given.push_back({"batch-size", "16", ""});
  given.push_back({"channels", "4", ""});
  given.push_back({"cells", "1", ""});
  given.push_back({"epochs", "3", ""});
  given.push_back({"device", "cpu", ""});
  SearchOptions o = resolve_options({}, given);
  o.out = out;
  return o;
}

void write_labels(const fs::path& folder, const std::string& more = "") {
  fs::create_directories(folder);
  std::string labels;
  for (int i = 0; i < 96; ++i) labels += std::to_string(i % 4) + "\n";
  write_file_atomically(folder / "labels.txt", labels + more);
}

}  // namespace

TEST_CASE("extending: a search of a data set of one's own learns it") {
  add_toys();
  const ScratchFolder scratch;
  write_labels(scratch / "data");
  const std::string data = (scratch / "data").string();
  const SearchOptions o =
      options(scratch / "run", {{"dataset", "quarters", ""}, {"data", data, ""}});
  CHECK(o.image_size == 8);
  search(o);
  const auto log = comparable_log(o.out);
  CHECK(log[2]["train_loss"] < log[0]["train_loss"]);
  write_labels(scratch / "bad", "7\n");
  const std::string bad = (scratch / "bad").string();
  CHECK(contains(
      failure_of(options(scratch / "no", {{"dataset", "quarters", ""}, {"data", bad, ""}})),
      "labels.txt: label '7', expected 0 to 3"));
  CHECK(contains(failure_of(options(scratch / "no", {{"dataset", "quarters", ""}})),
                 "write labels.txt"));
}

TEST_CASE(
    "extending: a space of one's own searches in stages, resumes and finds its planned memory") {
  add_toys();
  const ScratchFolder scratch;
  const auto chain = [&](const char* out) {
    SearchOptions o = options(scratch / out, {{"dataset", "synthetic", ""},
                                              {"space", "chain", ""},
                                              {"image-size", "16", ""},
                                              {"partial-channels", "2,1", ""},
                                              {"keep-ops", "3,2", ""},
                                              {"stage-epochs", "2,1", ""},
                                              {"alpha-learning-rate", "0.1", ""},
                                              {"raw-outputs", "store", ""}});
    o.channels = 8;
    o.cells = 3;
    o.limit_train = 96;
    return o;
  };
  const SearchOptions whole = chain("whole");
  const std::string genotype = search(whole).genotype;
  CHECK(genotype.starts_with("chain:"));
  CHECK(find_genotype(genotype).space == &toys::chain_space());
  SearchOptions part = chain("part");
  search(part, Interrupter(5));
  part.resume = true;
  search(part);
  check_same_run(whole.out, part.out);
  CHECK(contains(
      failure_of(options(scratch / "no", {{"dataset", "synthetic", ""}, {"space", "rings", ""}})),
      " or chain"));
}

TEST_CASE("extending: a method of one's own trains weights and leaves alpha alone") {
  add_toys();
  const ScratchFolder scratch;
  const auto random = [&](const char* out) {
    SearchOptions o = options(
        scratch / out,
        {{"dataset", "synthetic", ""}, {"image-size", "16", ""}, {"method", "random-paths", ""}});
    o.epochs = 12;
    return o;
  };
  search(random("first"));
  SearchOptions part = random("second");
  search(part, Interrupter(4));
  part.resume = true;
  search(part);
  check_same_run(scratch / "first", scratch / "second");
  const auto log = comparable_log(scratch / "first");
  CHECK(log.back()["train_loss"] < log[0]["train_loss"]);
  const SafetensorsFile checkpoint(scratch / "first" / "checkpoint.safetensors");
  const Alpha alpha(6, 5, random("").seed, Device::cpu);
  CHECK(checkpoint.values<double>("alpha") == download<double>(alpha.values));
  SearchOptions anchored = random("no");
  anchored.regulariser = "kl";
  CHECK(contains(failure_of(anchored), "--regulariser kl: expected l2 or none"));
}

TEST_CASE("extending: a name that is taken is refused, a training without a preset too") {
  add_toys();
  test_files::check_fails([] { train_preset_for(toys::chain_space(), PresetUse::quick); },
                          {"no preset for the chain space"});
  test_files::check_fails([] { add_dataset(toys::quarters); }, {"quarters", "taken"});
  test_files::check_fails([] { add_search_space(toys::chain_space()); }, {"chain", "taken"});
  test_files::check_fails([] { add_search_method(toys::random_paths); }, {"random-paths", "taken"});
}
