// SPDX-License-Identifier: MIT
// Searches in stages that start anew in deeper networks, whose identities are dropped.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/gpu.h"
#include "engine/safetensors.h"
#include "nas/run/run_resources.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"
#include "tests/nas/search/search_runs.h"
#include "tests/support/option_files.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;

namespace {

SearchOptions deepening(const fs::path& out) {
  const SearchOptions small = small_search(out);
  SearchOptions o =
      resolve_options({}, {{"method", "p-darts", "--method"}, {"space", "darts", "--space"}});
  o.dataset = small.dataset;
  o.device = small.device;
  o.threads = small.threads;
  o.out = out;
  o.image_size = 8;
  o.limit_train = 32;
  o.batch_size = 8;  // two steps an epoch
  o.channels = 2;
  o.cells = 3;
#ifdef DRNAS_SIMT  // thread by thread: two stages, the second long enough for steps to be replayed
  o.stage_cells = {3, 3};
  o.partial_channels = {1, 1};
  o.keep_ops = {8, 3};
  o.skip_dropout = {0, 0.7};
  o.stage_epochs = {1, 2};
  o.alpha_start_epoch = 0;
  o.limit_train = 16;
  o.batch_size = 4;
#else
  o.stage_cells = {3, 4, 5};
  o.stage_epochs = {2, 2, 3};
  o.alpha_start_epoch = 1;
#endif
  o.epochs = std::accumulate(o.stage_epochs.begin(), o.stage_epochs.end(), 0);
  o.alpha_learning_rate = 0.1;
  return o;
}

#ifndef DRNAS_SIMT
/// Raises a signal when a message begins so.
struct AtMessage : SearchObserver {
  std::string start, lines;
  explicit AtMessage(std::string text) : start(std::move(text)) {}
  void on_message(const std::string& line) override {
    lines += line + "\n";
    if (!start.empty() && line.starts_with(start)) std::raise(SIGINT);
  }
};

SafetensorsFile checkpoint_of(const SearchOptions& o) {
  return SafetensorsFile(o.out / "checkpoint.safetensors");
}
#endif

}  // namespace

TEST_CASE("p-darts: stages, resumed in each and between them, end bit-equal") {
  const ScratchFolder scratch;
  const SearchOptions whole = deepening(scratch / "whole");
  CHECK(search(whole).epochs_done == whole.epochs);
  const auto log = comparable_log(whole.out);
  const int steps = 2;
#ifdef DRNAS_SIMT
  const std::vector interruptions{0};
#else
  const std::vector interruptions{-1, 0, 1};  // in a stage, at its end, in the next one
#endif
  int at = 0;
  for (const int epochs : whole.stage_epochs) {
    at += steps * epochs;
    for (const int behind : interruptions) {
      if (at + behind >= steps * whole.epochs) continue;
      CAPTURE(at + behind);
      SearchOptions part = whole;
      part.out = scratch / ("part" + std::to_string(at + behind)).c_str();
      CHECK(search(part, Interrupter(at + behind)).interrupted_by_signal == SIGINT);
      part.resume = true;
      CHECK(search(part).epochs_done == whole.epochs);
      check_same_run(whole.out, part.out);
    }
  }
#ifdef DRNAS_SIMT
  // Recorded steps read the probability of each epoch.
  SearchOptions called = whole;
  called.out = scratch / "called";
  called.no_graph = true;
  search(called);
  CHECK(comparable_log(called.out) == log);
#endif
}

#ifndef DRNAS_SIMT
TEST_CASE(
    "p-darts: the log tells stage, kept operations, dropout and learning rate of each epoch") {
  const ScratchFolder scratch;
  SearchOptions o = deepening(scratch / "run");
  AtMessage messages("");
  catch_stop_signals();
  run_search(o, messages);
  const auto log = comparable_log(o.out);
  REQUIRE(log.size() == 7);
  const int stage_of[] = {1, 1, 2, 2, 3, 3, 3}, keeps[] = {8, 5, 3};
  const double e = std::exp(-0.2);
  const double dropout[] = {0, 0, 0.4 * 1 / 2, 0.4, 0.7 * 2 / 3, 0.7, 0.7 * e};
  for (std::size_t i = 0; i < log.size(); ++i) {
    CAPTURE(i);
    const int first = i < 2 ? 0 : i < 4 ? 2 : 4;
    CHECK(log[i]["stage"] == stage_of[i]);
    CHECK(log[i]["skip_dropout"].get<double>() == doctest::Approx(dropout[i]).epsilon(1e-12));
    // Each stage has a cosine of its own, from the full rate to zero.
    const int epochs = o.stage_epochs[static_cast<std::size_t>(stage_of[i] - 1)];
    CHECK(log[i]["learning_rate"].get<double>() ==
          doctest::Approx(0.0125 * (1 + std::cos(M_PI * (static_cast<int>(i) - first) / epochs))));
    REQUIRE(log[i].contains("kept") == (i >= 2));
    for (const auto& row : log[i].value("kept", nlohmann::json::array())) {
      int kept = 0;
      for (const int k : row) kept += k;
      CHECK(kept == keeps[stage_of[i] - 1]);
    }
    const Architecture found =
        search_space("darts").parse(log[i]["genotype"].get<std::string>(), "genotype");
    CHECK(found.skips <= 2);
  }
  CHECK(contains(messages.lines, "stage 2: 4 cells, from the start, 5 operations an edge"));
  CHECK(contains(messages.lines, "stage 3: 5 cells, from the start, 3 operations an edge"));
  const auto lines = read_text_file(o.out / "config.toml");
  CHECK(contains(lines, "stage-cells = [3, 4, 5]"));
  CHECK(contains(lines, "skip-dropout = [0.0, 0.4, 0.7]"));
  // Alpha's batches go on: as many as there were steps of alpha.
  CHECK(checkpoint_of(o).values<std::int64_t>("alpha.steps")[0] == 2 * 4);
  CHECK(checkpoint_of(o).values<std::int64_t>("adam.steps")[0] == 2 * 2);
}

TEST_CASE("p-darts: a stage starts as a new network and alpha of its seed, with what was kept") {
  const ScratchFolder scratch;
  SearchOptions o = deepening(scratch / "run");
  AtMessage stop("stage 2:");
  catch_stop_signals();
  CHECK(run_search(o, stop).interrupted_by_signal == SIGINT);
  const SafetensorsFile file = checkpoint_of(o);
  CHECK(file.values<std::int64_t>("stage")[0] == 2);
  const std::vector<Stage> stages = stages_of(o, 8);
  CHECK(stage_seed(o, stages[0]) == o.seed);
  CHECK(stage_seed(o, stages[1]) != o.seed);
  SupernetOptions network = supernet_options(o, 10);
  network.cells = 4;
  for (const std::int64_t kept : file.values<std::int64_t>("kept"))
    network.kept.push_back(static_cast<std::uint8_t>(kept));
  CHECK(std::count(network.kept.begin(), network.kept.end(), 1) == 28 * 5);
  const auto fresh = make_supernet(network, stage_seed(o, stages[1]));
  const ParameterStore& store = fresh->parameters();
  for (const NamedSlice& slice : store.parameters()) {
    CAPTURE(slice.name);
    const float* first = store.weights().data() + slice.offset;
    CHECK(file.values<float>("weights." + slice.name) ==
          std::vector<float>(first, first + slice.shape.elements()));
    const auto velocity = file.values<float>("velocity." + slice.name);
    CHECK(std::count(velocity.begin(), velocity.end(), 0.0f) == std::ssize(velocity));
  }
  for (const NamedSlice& slice : store.statistics()) {
    const float* first = store.statistics_buffer().data() + slice.offset;
    CHECK(file.values<float>("statistics." + slice.name) ==
          std::vector<float>(first, first + slice.shape.elements()));
  }
  MethodOptions again = method_options(o, Device::cpu);
  again.seed = stage_seed(o, stages[1]);
  const auto method = search_method("p-darts").make(again);
  method->prune(network.kept);
  const Tensor& alpha = method->law().alpha().values;
  const auto stored = file.values<double>("alpha");
  CHECK(stored == std::vector<double>(alpha.data<double>(), alpha.data<double>() + 28 * 8));
  CHECK(std::count(stored.begin(), stored.end(), 0.0) == 28 * 3);
  CHECK(file.values<std::int64_t>("adam.steps")[0] == 0);
  for (const char* moment : {"adam.first_moment", "adam.second_moment"})
    for (const double value : file.values<double>(moment)) CHECK(value == 0);
  CHECK(file.values<std::int64_t>("alpha.steps")[0] == 2);
}

TEST_CASE("p-darts: every stage's peak is that of its plan, and a limit holds in all of them") {
  const ScratchFolder scratch;
  SearchOptions o = deepening(scratch / "run");
  o.stage_cells = {3, 8, 12};
  const RunResources resources(Device::cpu, o.threads, 0);
  const bool checks = Allocator::of(Device::cpu).set_checks(false);
  const SearchMemory planned = SearchInputs(o, false).plan(o, Device::cpu);
  REQUIRE(planned.later.size() == 2);
  CHECK(planned.later[1].peak_bytes > planned.peak_bytes);
  AtMessage messages("");
  catch_stop_signals();
  run_search(o, messages);
  const auto log = comparable_log(o.out);
  const auto peak = [&](std::size_t epoch) {
    return log[epoch]["peak_bytes"]["total"].get<std::int64_t>();
  };
  CHECK(peak(1) == planned.peak_bytes);
  for (const std::size_t i : {0, 1}) {
    const std::int64_t reached = peak(i == 0 ? 3 : 6);
    CHECK(reached <= planned.later[i].peak_bytes);
    CHECK(contains(messages.lines, "planned peak " + format_bytes(reached)));
  }
  // The dry run names the largest of all stages.
  SearchOptions dry = o;
  dry.out = scratch / "dry";
  const std::string plan = plan_search(dry);
  CHECK(contains(plan, "# stage 3: 12 cells from the start, K 1, 3 operations an edge"));
  CHECK(contains(plan, "at most " + format_bytes(planned.later[1].peak_bytes)));
  // A limit below what the last stage stores makes it rebuild; less than that is refused at once.
  SearchOptions tight = o;
  tight.out = scratch / "tight";
  tight.raw_outputs = "auto";
  SearchOptions least = tight;
  least.raw_outputs = "rebuild";
  least.memory_limit = 1 << 30;
  const SearchMemory rebuilt = SearchInputs(least, false).plan(least, Device::cpu);
  tight.memory_limit = std::max(rebuilt.peak_bytes, rebuilt.later[1].peak_bytes);
  tight.memory_limit = std::max(tight.memory_limit, rebuilt.later[0].peak_bytes);
  search(tight);
  for (const auto& epoch : comparable_log(tight.out))
    CHECK(epoch["peak_bytes"]["total"] <= tight.memory_limit);
  tight.out = scratch / "refused";
  tight.memory_limit = rebuilt.later[1].peak_bytes - 1;
  CHECK(contains(failure_of(tight), "--memory-limit"));
  CHECK(!fs::exists(tight.out));
  Allocator::of(Device::cpu).set_checks(checks);
}

TEST_CASE("p-darts: what a user gets who names it") {
  const auto named = [](std::vector<GivenOption> more) {
    more.insert(more.begin(),
                {{"method", "p-darts", ""}, {"space", "darts", ""}, {"out", "run", ""}});
    SearchOptions o = resolve_options({}, more);
    o.validate();
    return o;
  };
  const SearchOptions o = named({});
  CHECK((o.stage_cells == std::vector{5, 11, 17} && o.cells == 5 && o.channels == 16));
  CHECK((o.stage_epochs == std::vector{25, 25, 25} && o.epochs == 75 && o.batch_size == 96));
  CHECK((o.keep_ops == std::vector{8, 5, 3} && o.none_op && o.max_skips == 2));
  CHECK(o.skip_dropout == std::vector{0.0, 0.4, 0.7});
  CHECK((o.learning_rate == 0.025 && o.learning_rate_min == 0 && o.weight_decay == 3e-4));
  CHECK((o.alpha_learning_rate == 6e-4 && o.lambda == 1e-3 && o.regulariser == "l2"));
  CHECK((o.grad_clip == 5 && o.alpha_grad_clip == 5 && o.alpha_start_epoch == 10));
  // The same in the base of its authors, and from the space's preset.
  SearchOptions authors = named({{"base", "authors", ""}});
  CHECK(authors.base == "authors");
  authors.base = o.base;
  CHECK(authors == o);
  CHECK(named({{"preset", "darts-cifar10", ""}}).batch_size == 96);
  CHECK(named({{"stage-cells", "3,4,5", ""}}).cells == 3);
}

TEST_CASE("p-darts: what does not fit is refused by name") {
  const auto refused = [](std::vector<GivenOption> given,
                          std::initializer_list<std::string> parts) {
    given.insert(given.begin(), {"out", "run", ""});
    check_fails([&] { resolve_options({}, given).validate(); }, parts);
  };
  const auto here = [&](const char* name, const char* value,
                        std::initializer_list<std::string> parts) {
    CAPTURE(name);
    refused({{"method", "p-darts", ""}, {"space", "darts", ""}, {name, value, ""}}, parts);
  };
  refused({{"method", "p-darts", ""}}, {"--method p-darts", "--space darts", "only one"});
  refused({{"method", "p-darts", ""}, {"space", "nowhere", ""}}, {"--space nowhere"});
  for (const auto& [name, value] :
       {std::pair{"stage-cells", "5,11"}, {"skip-dropout", "0.4"}, {"max-skips", "2"}})
    refused({{name, value, ""}}, {std::string("--") + name + " " + value, "--method drnas"});
  here("base", "nats", {"--base nats"});
  here("cells", "6", {"--stage-cells 5,11,17", "--cells 6"});
  here("stage-cells", "5,11", {"--stage-cells 5,11", "3 values"});
  here("stage-cells", "5,2,4", {"--stage-cells 5,2,4", "3 to 100"});
  here("skip-dropout", "0.1", {"--skip-dropout 0.1", "3 probabilities"});
  here("skip-dropout", "0,0.5,1", {"--skip-dropout 0,0.5,1", "below 1"});
  here("skip-dropout", "0,nan,0", {"--skip-dropout 0,nan,0", "at least 0"});
  here("skip-dropout", "0,x,0", {"numbers separated by commas"});
  here("max-skips", "9", {"--max-skips 9", "0 to 8"});
  here("max-skips", "-1", {"--max-skips -1", "0 to 8"});
  here("keep-ops", "8,5,2", {"--keep-ops 8,5,2", "at least 3", "--max-skips 2"});
  here("warmup-epochs", "25", {"--warmup-epochs 25", "--stage-epochs"});
}
#endif
