// SPDX-License-Identifier: MIT
// Times a whole step of every search method, and its two halves, on random images: in turns, so
// that all see the same machine.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/step_setup.h"
#include "nas/search/search_inputs.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;

struct Options : bench::NetworkOptions {
  std::string json, device_name = "cpu", command;
  std::vector<std::string> methods;
  int steps = 9, threads = 0;
  bool no_graph = false;
  Device device = Device::cpu;
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Times a step of each search method on random images", "bench_methods");
  bench::add_network_options(app, o);
  bench::add_common_options(app, o);
  app.add_option("--methods", o.methods, "names (default: all)")->delimiter(',');
  bench::parse_options(app, argc, argv, o);
  for (int i = 0; i < argc; ++i) o.command += (i ? " " : "") + std::string(argv[i]);
  return o;
}

/// One method with its network.
struct Candidate {
  const MethodInfo* info;
  std::unique_ptr<Supernet> supernet;
  std::unique_ptr<SearchMethod> method;
  std::unique_ptr<SupernetTrainer> trainer;
  std::vector<StepResult> whole, weights;
  std::int64_t steps = 0, planned = 0;

  Candidate(const MethodInfo& of, const Options& o) : info(&of) {
    MemoryQuestion question = bench::question_of(o, o.device);
    bench::use_method(question, of);
    question.trainer.capture = !o.no_graph;
    planned = plan_memory(question).peak;
    supernet = make_supernet(question.supernet, 1, o.device);
    method = of.make(*question.method_options);
    trainer = std::make_unique<SupernetTrainer>(*supernet, method->law(), &method->alpha_update(),
                                                question.trainer);
    trainer->set_learning_rate(0.025);
    method->begin_epoch(1);  // of two kinds of epochs the one in which alpha learns
  }
  /// Alpha learns in each: 5040 steps lie between two of them.
  void step(const DeviceBatch& batch, bool timed) {
    bench::OneBatch of_weights(batch), of_alpha(batch);
    const Stopwatch watch;
    const MethodResult result =
        method->step({*trainer, of_weights, of_alpha, true, steps++ * 5040});
    if (!timed) return;
    StepResult all;
    all.total_ms = 1e3 * watch.seconds();
    whole.push_back(all);
    weights.push_back(result.weights);
  }
};

/// Ratios are to first-order DARTS, or to the first method where it was left out.
ordered_json table_of(const std::vector<std::unique_ptr<Candidate>>& all) {
  const Candidate* base = all.front().get();
  for (const auto& c : all)
    if (c->info->name == "darts") base = c.get();
  const auto figures = [](const std::vector<StepResult>& steps) { return bench::summary(steps); };
  const auto rounded = [](const ordered_json& of, double scale) {
    return std::round(of.get<double>() * scale) / scale;
  };
  const ordered_json base_whole = figures(base->whole), base_weights = figures(base->weights);
  ordered_json rows = ordered_json::array();
  for (const auto& c : all) {
    const ordered_json whole = figures(c->whole), weights = figures(c->weights);
    const auto ratio = [&](const ordered_json& of, const ordered_json& to) {
      return rounded(of["median"].get<double>() / to["median"].get<double>(), 100);
    };
    rows.push_back({std::string(c->info->name), rounded(whole["median"], 10),
                    rounded(whole["min"], 10), rounded(whole["max"], 10), ratio(whole, base_whole),
                    rounded(weights["median"], 10), ratio(weights, base_weights), c->planned});
  }
  return rows;
}

ordered_json measure(const Options& o) {
  const DeviceBatch batch = bench::random_batch(o.batch_size, o.pixels(), o.device);
  std::vector<std::unique_ptr<Candidate>> all;
  for (const MethodInfo* info : search_methods())
    if (o.methods.empty() ||
        std::find(o.methods.begin(), o.methods.end(), info->name) != o.methods.end())
      all.push_back(std::make_unique<Candidate>(*info, o));
  if (all.empty()) throw Error("--methods: expected some of " + search_method_names());
  const int warm_up = o.device == Device::cuda ? 4 : 1;
  for (int s = 0; s < warm_up + o.steps; ++s)
    for (const auto& candidate : all) candidate->step(batch, s >= warm_up);
  return {{"title", "A step of each search method, in turns"},
          {"command", o.command},
          {"note", "alpha learns in every step here; ratios are of medians to first-order DARTS"},
          {"options",
           {{"space", o.space},
            {"channels", o.channels},
            {"cells", o.cells},
            {"batch_size", o.batch_size},
            {"partial_channels", o.partial_channels},
            {"steps", o.steps},
            {"threads", o.threads},
            {"device", o.device == Device::cuda ? "cuda" : "cpu"}}},
          {"columns",
           {"method", "step, ms", "least", "largest", "ratio", "weights' half, ms", "ratio of it",
            "planned_bytes"}},
          {"rows", table_of(all)},
          {"runs", ordered_json::array()}};
}

void print(const ordered_json& r) {
  std::printf("method             step ms (min to max)       ratio  weights ms  ratio   planned\n");
  for (const ordered_json& row : r["rows"])
    std::printf("%-16s %8.1f (%.1f to %.1f)  %6.2f  %10.1f %6.2f   %s\n",
                row[0].get<std::string>().c_str(), row[1].get<double>(), row[2].get<double>(),
                row[3].get<double>(), row[4].get<double>(), row[5].get<double>(),
                row[6].get<double>(), format_bytes(row[7].get<std::int64_t>()).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_bench([&] { return parse(argc, argv); }, measure, print);
}
