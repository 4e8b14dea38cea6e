// SPDX-License-Identifier: MIT
// BayesNAS in whole searches: rounds of two epochs, what they leave, and where they can be stopped.
#include <cmath>

#include "engine/gpu.h"
#include "engine/safetensors.h"
#include "nas/method/switches.h"
#include "nas/options/search_options.h"
#include "nas/search/search_inputs.h"
#include "tests/nas/search/search_runs.h"
#include "tests/support/option_files.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// Two rounds: the switches learn in the second and in the fourth epoch.
SearchOptions rounds(const fs::path& out, const char* space = "nas-bench-201") {
  SearchOptions o = small_search(out);
  o.method = "bayesnas";
  o.regulariser = "group";
  o.alpha_learning_rate = 0.1;
  o.lambda = 0.01;
  o.epochs = 4;
  o.limit_train = 32;
  o.batch_size = 8;
  o.space = space;
  if (o.space == "darts") {
    o.cells = 3;
    o.image_size = 8;
    o.limit_train = 16;
  }
  return o;
}

std::vector<double> table(const fs::path& run, const char* name) {
  return SafetensorsFile(run / "checkpoint.safetensors").values<double>(name);
}

/// The same search, stopped after so many steps of a phase, gone on with.
void check_stopped(const SearchOptions& whole, const fs::path& out, int steps, const char* phase) {
  CAPTURE(phase);
  CAPTURE(steps);
  SearchOptions part = whole;
  part.out = out;
  CHECK(search(part, Interrupter(steps, phase)).interrupted_by_signal == SIGINT);
  part.resume = true;
  CHECK(search(part).epochs_done == whole.epochs);
  check_same_run(whole.out, part.out);
}

}  // namespace

TEST_CASE("bayesnas: weights alone in the first epoch, then with switches, then relevance") {
  const ScratchFolder scratch;
  SearchOptions o = rounds(scratch / "run");
  for (o.epochs = 1; o.epochs <= 2; ++o.epochs) {
    o.out = scratch / ("run-" + std::to_string(o.epochs)).c_str();
    search(o);
    const std::vector<double> switches = table(o.out, "alpha"),
                              gamma = table(o.out, "switches.gamma"),
                              omega = table(o.out, "switches.omega"),
                              curvature = table(o.out, "switches.curvature");
    REQUIRE(switches.size() == 36);
    int moved = 0, measured = 0;
    for (std::size_t i = 0; i < switches.size(); ++i) {
      moved += switches[i] != 1;
      measured += curvature[i] != 0;
      CHECK((std::isfinite(gamma[i]) && std::isfinite(omega[i]) && omega[i] > 0));
    }
    CHECK(moved == (o.epochs == 1 ? 0 : 36));
    // `none` has no curvature, and no relevance.
    CHECK(measured == (o.epochs == 1 ? 0 : 30));
    for (int edge = 0; o.epochs == 2 && edge < 6; ++edge) CHECK(gamma[edge * 6] == 0);
    // The penalty alone moves it: 0.1 * 0.01 in each of two steps.
    CHECK(switches[0] == doctest::Approx(o.epochs == 1 ? 1 : 1 - 2e-3));
  }
}

TEST_CASE("bayesnas: the log shows relevance, by which each edge's operation is chosen") {
  const ScratchFolder scratch;
  const SearchOptions o = rounds(scratch / "run");
  const SearchResult found = search(o);
  const std::vector<double> gamma = table(o.out, "switches.gamma");
  std::vector<std::vector<double>> rows;
  for (int edge = 0; edge < 6; ++edge)
    rows.emplace_back(gamma.begin() + edge * 6, gamma.begin() + edge * 6 + 5);
  const auto log = comparable_log(o.out);
  CHECK(log[3]["concentrations"].get<std::vector<std::vector<double>>>() == rows);
  CHECK(search_space("nas-bench-201").derive(rows, false).genotype == found.genotype);
  CHECK(log[3]["edge_weights"].size() == 6);
  CHECK(log[3]["concentrations"] != log[1]["concentrations"]);
  CHECK(log[2]["concentrations"] == log[1]["concentrations"]);  // an epoch of weights alone
}

TEST_CASE("bayesnas: stopped anywhere in its rounds it goes on bit by bit") {
  const ScratchFolder scratch;
  const SearchOptions whole = rounds(scratch / "whole");
  search(whole);
  // Two steps an epoch, 61 gradients for curvature at the end of a round.
  check_stopped(whole, scratch / "weights", 1, "search");
  check_stopped(whole, scratch / "boundary", 2, "search");
  check_stopped(whole, scratch / "switches", 3, "search");
  check_stopped(whole, scratch / "evaluation", 3, "evaluation");
  check_stopped(whole, scratch / "curvature", 7, "curvature");
  check_stopped(whole, scratch / "second-round", 7, "search");
}

TEST_CASE("bayesnas: in the DARTS space too it goes on bit by bit") {
  const ScratchFolder scratch;
  const SearchOptions whole = rounds(scratch / "whole", "darts");
  CHECK(search(whole).genotype.starts_with("Genotype("));
  const std::vector<double> gamma = table(whole.out, "switches.gamma");
  CHECK(gamma.size() == 28 * 8);
  check_stopped(whole, scratch / "curvature", 100, "curvature");
  check_stopped(whole, scratch / "switches", 4, "search");
}

TEST_CASE("bayesnas: under a penalty that nothing withstands all is off, and nothing is NaN") {
  const ScratchFolder scratch;
  SearchOptions o = rounds(scratch / "run");
  o.lambda = 1000;
  CHECK(search(o).genotype == "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|");
  for (const double s : table(o.out, "alpha")) CHECK(s == 0);
  for (const double g : table(o.out, "switches.gamma")) CHECK(g == 0);
}

TEST_CASE("bayesnas: a cost draws what is dear to zero") {
  const ScratchFolder scratch;
  SearchOptions o = rounds(scratch / "run");
  o.cost = "flops";
  o.cost_weight = 1;
  search(o);
  const std::vector<double> with = table(o.out, "alpha");
  o.out = scratch / "plain";
  o.cost.clear();
  o.cost_weight = 0;
  search(o);
  const std::vector<double> plain = table(o.out, "alpha");
  for (int edge = 0; edge < 6; ++edge) {
    CHECK(std::abs(with[edge * 6 + 3]) < plain[edge * 6 + 3] - 0.1);  // nor_conv_3x3
    CHECK(std::abs(with[edge * 6 + 1] - plain[edge * 6 + 1]) < 0.1);  // skip_connect
  }
}

TEST_CASE("bayesnas: curvature is that of the loss of a network") {
  SearchOptions o = rounds("unused");
  std::string note;
  const Device device = choose_device(o.device, note);
  const SearchInputs inputs(o, false);
  const SearchMemory memory = inputs.plan(o, device);
  const auto supernet = make_supernet(memory.network, o.seed, device);
  const auto method = make_method(o.method, method_options(o, device));
  Trainer trainer(*supernet, *method, trainer_options(o));
  const BatchSources batches = inputs.batch_sources(o, device, memory);
  const DeviceBatch& batch = batches.alpha->next();
  const std::vector<double> ones(36, 1.0);
  constexpr double h = 0.05;
  const auto loss = [&](std::size_t i, double by) {
    std::vector<double> s = ones;
    s[i] += by;
    return trainer.probe(batch, switch_weights(6, s), nullptr);
  };
  const auto gradient = [&](std::span<const double> s) {
    std::vector<double> dtheta;
    trainer.probe(batch, switch_weights(6, s), &dtheta);
    return switch_gradient(6, s, dtheta);
  };
  const auto curvature =
      switch_curvature(gradient, ones, h, [](std::int64_t, std::int64_t) { return true; });
  REQUIRE(curvature);
  // Slopes of the loss at both ends, over a tenth of the way: rounding of float32 losses is 2^-22 /
  // (h h / 2.5), and kinks of ReLU lie in between.
  constexpr double d = h / 10;
  double error = 0, scale = 0;
  for (std::size_t i = 0; i < ones.size(); ++i) {
    const double above = (loss(i, h + d) - loss(i, h - d)) / (2 * d),
                 below = (loss(i, d - h) - loss(i, -d - h)) / (2 * d),
                 expected = (above - below) / (2 * h);
    error += std::pow((*curvature)[i] - expected, 2);
    scale += expected * expected;
  }
  CHECK(scale > 0.01);
  CHECK(std::sqrt(error) < 0.25 * std::sqrt(scale));
}

TEST_CASE("bayesnas: what has no meaning for switches is refused in a line that says why") {
  const auto refused = [](const char* base, const char* option, const char* value,
                          std::initializer_list<std::string> parts) {
    CAPTURE(option);
    test_files::check_fails(
        [&] {
          SearchOptions o = resolve_options({}, {{"method", "bayesnas", "--method"},
                                                 {"base", base, "--base"},
                                                 {option, value, option}});
          o.out = "run";
          o.validate();
        },
        parts);
  };
  refused("drnas", "stage-epochs", "50,50", {"--stage-epochs", "bayesnas", "prunes no operations"});
  refused("drnas", "one-batch", "true", {"--one-batch", "bayesnas"});
  refused("drnas", "schedule-first", "2", {"--schedule-first 2", "bayesnas"});
  refused("drnas", "hessian", "every=1", {"--hessian", "weights of edges"});
  refused("drnas", "regulariser", "l2", {"--regulariser l2", "group with --method bayesnas"});
  refused("drnas", "lambda", "0", {"--lambda 0", "above 0"});
  refused("authors", "epochs", "3", {"--base authors", "bayesnas", "nas-bench-201"});
  test_files::check_fails(
      [] {
        SearchOptions o = resolve_options({}, {{"regulariser", "group", "--regulariser"}});
        o.out = "run";
        o.validate();
      },
      {"--regulariser group", "l2 or none", "group needs switches"});
}

TEST_CASE("bayesnas: starts from its own settings, those of its authors in the DARTS space") {
  const auto given = [](std::vector<GivenOption> more) {
    more.push_back({"method", "bayesnas", "--method"});
    return resolve_options({}, more);
  };
  const SearchOptions plain = given({});
  CHECK((plain.regulariser == "group" && plain.lambda == 0.01 && plain.alpha_learning_rate == 0.1));
  CHECK((plain.epochs == 100 && plain.batch_size == 64));
  const SearchOptions authors =
      given({{"base", "authors", "--base"}, {"space", "darts", "--space"}});
  CHECK((authors.batch_size == 18 && authors.learning_rate == 0.1 && authors.weight_decay == 1e-4));
  CHECK((authors.epochs == 2 && authors.channels == 36 && authors.cells == 8 && !authors.none_op));
}
