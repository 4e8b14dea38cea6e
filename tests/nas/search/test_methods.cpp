// SPDX-License-Identifier: MIT
// Whole searches by every method: repeatable, resumable bit by bit, within their plans.
#include <algorithm>

#include "nas/method/search_method.h"
#include "nas/options/search_options.h"
#include "nas/run/run_resources.h"
#include "nas/search/search_inputs.h"
#include "tests/nas/search/search_runs.h"
#include "tests/support/option_files.h"
#include "tests/support/plain_memory.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// What a user gets who names the method.
SearchOptions small_method(const std::string& method, const fs::path& out,
                           const std::string& base = "drnas") {
  const SearchOptions small = small_search(out);
  const MethodInfo& info = search_method(method);
  std::vector<GivenOption> given{{"method", method, "--method"}, {"base", base, "--base"}};
  if (!info.space.empty()) given.push_back({"space", std::string(info.space), "--space"});
  SearchOptions o = resolve_options({}, given);
  for (const char* name : {"dataset", "image-size", "limit-train", "batch-size", "channels",
                           "cells", "epochs", "threads", "device", "out", "partial-channels"})
    for (const OptionOf<SearchOptions>& option : options_of<SearchOptions>())
      if (option.name == name) copy_option(o, small, option);
  if (o.select == "sampled") o.select_cells = 4;
  if (info.deepens) {  // one stage of it
    o.stage_cells = {o.cells = 3};
    o.keep_ops = o.stage_epochs = {};
    o.skip_dropout = {0.4};
    o.alpha_start_epoch = 1;
  }
  return o;
}

}  // namespace

TEST_CASE("methods: stopped in the middle and resumed, each ends as one that was not") {
  const ScratchFolder scratch;
  for (const MethodInfo* method : search_methods()) {
    CAPTURE(method->name);
    const std::string name(method->name);
    SearchOptions whole = small_method(name, scratch / (name + "-whole").c_str()), part = whole;
    part.out = scratch / (name + "-part").c_str();
    CHECK(search(whole).epochs_done == 3);
    CHECK(search(part, Interrupter(5)).interrupted_by_signal == SIGINT);
    part.resume = true;
    search(part);
    check_same_run(whole.out, part.out);
  }
}

TEST_CASE("methods: the peak is that of the plan, or below it where operations are drawn") {
  const PlainMemory plain;
  const ScratchFolder scratch;
  for (const MethodInfo* method : search_methods()) {
    CAPTURE(method->name);
    const std::string name(method->name);
    SearchOptions o = small_method(name, scratch / name.c_str());
    o.epochs = method->switches ? 3 : 1;  // all memory is there after a round of two epochs
    const RunResources resources(Device::cpu, o.threads, 0);  // workspaces go by threads
    const std::int64_t planned = SearchInputs(o, false).plan(o, Device::cpu).peak_bytes;
    search(o);
    const std::int64_t peak = comparable_log(o.out).back()["peak_bytes"]["total"];
    CHECK(peak <= planned);
    const bool draws_always =
        name.starts_with("gdas") || name == "dsnas" || name == "proxyless-two" || name == "parsec";
    if (!draws_always) CHECK(peak == planned);
  }
}

TEST_CASE("methods: those that prune search in stages, the others say that they cannot") {
  const ScratchFolder scratch;
  for (const MethodInfo* method : search_methods()) {
    CAPTURE(method->name);
    const std::string name(method->name);
    SearchOptions o = small_method(name, scratch / name.c_str());
    o.partial_channels = {4, 2};
    o.cells = 3;
    o.keep_ops = {5, 3};
    o.stage_epochs = {1, 2};
    if (method->deepens) {
      o.keep_ops = {8, 3};
      o.stage_cells = {3, 4};
      o.skip_dropout = {0, 0.4};
    }
    if (!method->stages) {
      test_files::check_fails([&] { search(o); }, {"--stage-epochs 1,2", name});
      continue;
    }
    search(o);
    const auto log = comparable_log(o.out);
    CHECK((log.size() == 3 && log[2]["stage"] == 2));
    for (const auto& row : log[2]["kept"]) {
      int kept = 0;
      for (const int k : row) kept += k;
      CHECK(kept == 3);
    }
  }
}

TEST_CASE("methods: each searches the DARTS space too") {
  const ScratchFolder scratch;
  for (const MethodInfo* method : search_methods()) {
    CAPTURE(method->name);
    const std::string name(method->name);
    SearchOptions o = small_method(name, scratch / name.c_str());
    o.space = "darts";
    o.cells = 3;
    o.epochs = 1;
    o.limit_train = 32;
    o.batch_size = 8;
    CHECK(search(o).genotype.starts_with("Genotype("));
  }
}

TEST_CASE("methods: bases change what their authors did differently, and nothing else") {
  const SearchOptions plain = small_method("darts", "run"),
                      authors = small_method("darts", "run", "authors");
  CHECK((!plain.nesterov && authors.nesterov));
  CHECK((plain.weight_decay == 3e-4 && authors.weight_decay == 5e-4));
  CHECK((plain.rate_moves == "epoch" && authors.rate_moves == "step"));
  CHECK((plain.order == "alpha-first" && authors.order == "weights-first"));
  CHECK(small_method("darts-2nd", "run", "authors").order == "alpha-first");
  CHECK(small_method("darts", "run", "nats").evaluation_norm == "batch");
  CHECK(small_method("gdas", "run", "authors").schedule_last == 0.1);
  CHECK(small_method("setn", "run", "authors").grad_clip == 0);
  // What the user gives wins.
  const SearchOptions given = resolve_options({}, {{"method", "darts", "--method"},
                                                   {"base", "authors", "--base"},
                                                   {"weight-decay", "1e-4", "--weight-decay"}});
  CHECK((given.weight_decay == 1e-4 && given.nesterov));
}

TEST_CASE("methods: a search in every base runs, and resumes where the weights come first") {
  const ScratchFolder scratch;
  for (const char* base : {"authors", "nats"}) {
    CAPTURE(base);
    SearchOptions whole =
                      small_method("darts", scratch / (std::string(base) + "-whole").c_str(), base),
                  part = whole;
    part.out = scratch / (std::string(base) + "-part").c_str();
    search(whole);
    CHECK(search(part, Interrupter(4)).interrupted_by_signal == SIGINT);
    part.resume = true;
    search(part);
    check_same_run(whole.out, part.out);
  }
}

TEST_CASE("methods: combinations without a meaning are refused by name") {
  const auto refused = [](const char* method, const char* base, const char* option,
                          const char* value, std::initializer_list<std::string> parts) {
    CAPTURE(method);
    CAPTURE(option);
    test_files::check_fails(
        [&] {
          SearchOptions o = resolve_options(
              {},
              {{"method", method, "--method"}, {"base", base, "--base"}, {option, value, option}});
          o.out = "run";
          o.validate();
        },
        parts);
  };
  refused("proxyless", "authors", "epochs", "3", {"--base authors", "proxyless", "nas-bench-201"});
  refused("snas", "authors", "epochs", "3", {"--base authors", "no settings"});
  refused("setn", "authors", "space", "darts", {"--base authors", "setn", "darts"});
  refused("setn", "nats", "space", "darts", {"--base nats", "darts"});
  refused("setn", "drnas", "one-batch", "true", {"--one-batch", "setn"});
  refused("setn", "drnas", "regulariser", "kl", {"--regulariser kl", "Dirichlet"});
  refused("darts", "nats", "space", "darts", {"--base nats", "darts"});
  refused("pc-darts", "drnas", "stage-epochs", "50,50", {"--stage-epochs", "pc-darts"});
  refused("gaea-pc-darts", "drnas", "hessian", "every=1", {"--hessian", "weights of edges"});
  refused("darts", "drnas", "schedule-first", "3", {"--schedule-first 3", "darts"});
  refused("snas", "drnas", "schedule-last", "0", {"--schedule-last 0", "above 0"});
  refused("sdarts-rs", "drnas", "schedule-first", "2", {"--schedule-first 2", "radius"});
  refused("gdas", "drnas", "one-batch", "true", {"--one-batch", "gdas"});
  refused("gdas", "drnas", "regulariser", "kl", {"--regulariser kl", "Dirichlet"});
  refused("gdas", "drnas", "order", "both", {"--order both", "weights-first"});
}
