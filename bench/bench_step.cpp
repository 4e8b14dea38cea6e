// SPDX-License-Identifier: MIT
// Times the architecture step and the weight step of a supernet on random images.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/machine.h"
#include "bench/step_setup.h"
#include "engine/files.h"
#include "engine/gpu.h"
#include "engine/version.h"
#include "kernels/layers/conv2d_plan.h"
#include "nas/step/supernet_trainer.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;

struct Options : bench::NetworkOptions {
  std::string json, device_name = "cpu";
  int steps = 9, threads = 0;
  bool no_graph = false;
  Device device = Device::cpu;  ///< what device_name stands for
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Times both search steps on random images", "bench_step");
  bench::add_network_options(app, o);
  bench::add_common_options(app, o);
  bench::parse_options(app, argc, argv, o);
  return o;
}

MemoryQuestion question_of(const Options& o) {
  MemoryQuestion question = bench::question_of(o, o.device);
  question.trainer.capture = !o.no_graph;
  return question;
}

/// The bytes that the card itself counts, all processes together: at the start CUDA's context is
/// there; what the end has more is the pool and, outside it, vendor workspace, graphs and code.
void add_card_memory(ordered_json& report, const bench::CardMemory& start, std::int64_t reserved) {
  const bench::CardMemory end = bench::card_memory();
  report["card_bytes"] = {{"total", end.total},
                          {"used_with_context", start.used},
                          {"used_at_end", end.used},
                          {"above_context", end.used - start.used},
                          {"outside_pool", end.used - start.used - reserved}};
}

/// Both kinds of step in turn; the first `warm_up` of each are not timed.
struct Timed {
  std::vector<StepResult> architecture, weight;
  std::int64_t warm_allocations = 0;

  Timed(SupernetTrainer& trainer, const DeviceBatch& batch, Device device, int warm_up, int steps) {
    trainer.set_learning_rate(0.025);
    for (int s = 0; s < warm_up + steps; ++s) {
      const StepResult a = trainer.run(passes::architecture, batch),
                       w = trainer.run(passes::weights, batch);
      if (s == warm_up - 1) warm_allocations = Allocator::of(device).counters().native_allocations;
      if (s < warm_up) continue;
      architecture.push_back(a);
      weight.push_back(w);
    }
  }
};

ordered_json measure(const Options& o) {
  const bool cuda = o.device == Device::cuda;
  const MemoryQuestion question = question_of(o);
  ordered_json report{{"space", o.space},
                      {"channels", o.channels},
                      {"cells", o.cells},
                      {"batch_size", o.batch_size},
                      {"image_size", o.pixels()},
                      {"partial_channels", o.partial_channels},
                      {"threads", o.threads},
                      {"device", cuda ? "cuda" : "cpu"},
                      {"precision", bench::precision_name(o, o.device)},
                      {"conv", o.conv},
                      {"raw_outputs", to_string(question.supernet.raw_outputs)}};
  if (cuda) report["gpu"] = describe_gpu();
  const bench::CardMemory card = cuda ? bench::card_memory() : bench::CardMemory{};
  report["process_start_bytes"] = bench::process_bytes("VmRSS");
  const MemoryCounters planned = plan_memory(question);
  Allocator::of(o.device).prepare(planned.extents);
  const std::unique_ptr<Supernet> supernet = make_supernet(question.supernet, 1, o.device);
  const auto [edges, operations] = theta_shape(o.search_space());
  const auto method = question.method->make({edges, operations, 1, o.device});
  SupernetTrainer trainer(*supernet, method->law(), &method->alpha_update(), question.trainer);
  const DeviceBatch batch = bench::random_batch(o.batch_size, o.pixels(), o.device);
  // On CUDA the first step builds plans, the second is recorded, the third replayed.
  const Timed timed(trainer, batch, o.device, cuda ? 4 : 1, o.steps);
  const MemoryCounters counters = Allocator::of(o.device).counters();
  report["process_peak_bytes"] = bench::process_bytes("VmHWM");
  report["architecture_step_ms"] = bench::summary(timed.architecture);
  report["weight_step_ms"] = bench::summary(timed.weight);
  report["peak_bytes"] = bench::memory_of(counters);
  report["reserved_bytes"] = counters.reserved;
  report["native_allocations"] = counters.native_allocations;
  report["native_allocations_after_warmup"] = counters.native_allocations - timed.warm_allocations;
  if (cuda) {
    add_card_memory(report, card, counters.reserved);
    report["launches"] = {{"architecture", trainer.launches(passes::architecture, batch)},
                          {"weight", trainer.launches(passes::weights, batch)}};
  }
  report["planned_bytes"] = planned.peak;
  return report;
}

void add_rates(ordered_json& report, const Options& o) {
  const double forward =
      2.0 * o.batch_size * o.search_space().multiply_adds(question_of(o).supernet, o.pixels());
  const auto rate = [&](const char* step, double passes) {
    return passes * forward / report[step]["median"].get<double>() / 1e6;
  };
  report["convolution_gflop"] = {{"architecture_step", 2 * forward / 1e9},
                                 {"weight_step", 3 * forward / 1e9}};
  report["convolution_gflops"] = {{"architecture_step", rate("architecture_step_ms", 2)},
                                  {"weight_step", rate("weight_step_ms", 3)}};
  if (o.device == Device::cuda) return;  // bench_device measures a card's rates
  const double peak = bench::measured_peak_gflops(o.threads);
  report["peak_gflops"] = peak;
  report["share_of_peak"] = {{"architecture_step", rate("architecture_step_ms", 2) / peak},
                             {"weight_step", rate("weight_step_ms", 3) / peak}};
}

std::string bytes_text(const ordered_json& bytes) {
  return format_bytes(bytes.get<std::int64_t>());
}

void print_times(const ordered_json& r) {
  std::printf("%-18s %10s %10s %10s   forward / backward / optimizer (ms)   share of peak\n",
              "step", "median ms", "min", "max");
  for (const char* step : {"architecture_step", "weight_step"}) {
    const ordered_json& t = r[std::string(step) + "_ms"];
    std::printf("%-18s %10.1f %10.1f %10.1f   %.1f / %.1f / %.1f   %.2f of %.0f GFLOP/s\n", step,
                t["median"].get<double>(), t["min"].get<double>(), t["max"].get<double>(),
                t["phases"]["forward"].get<double>(), t["phases"]["backward"].get<double>(),
                t["phases"]["optimizer"].get<double>(), r["share_of_peak"][step].get<double>(),
                r["peak_gflops"].get<double>());
  }
}

/// Recorded steps have no phases; the launches and the card's own count of bytes come instead.
void print_device_times(const ordered_json& r) {
  std::printf("%s, raw outputs %s\n%-18s %10s %10s %10s %10s %10s\n",
              r["gpu"].get<std::string>().c_str(), r["raw_outputs"].get<std::string>().c_str(),
              "step", "median ms", "min", "max", "launches", "GFLOP/s");
  for (const std::string step : {"architecture", "weight"}) {
    const ordered_json& t = r[step + "_step_ms"];
    std::printf("%-18s %10.3f %10.3f %10.3f %10d %10.0f\n", (step + "_step").c_str(),
                t["median"].get<double>(), t["min"].get<double>(), t["max"].get<double>(),
                r["launches"][step].get<int>(),
                r["convolution_gflops"][step + "_step"].get<double>());
  }
  const ordered_json& card = r["card_bytes"];
  std::printf("card: %s in use with the context, %s more at the end, %s of it outside the pool\n",
              bytes_text(card["used_with_context"]).c_str(),
              bytes_text(card["above_context"]).c_str(), bytes_text(card["outside_pool"]).c_str());
}

void print(const ordered_json& r) {
  if (r.contains("gpu")) {
    print_device_times(r);
  } else {
    print_times(r);
  }
  std::printf("tensors %s at the peak (planned %s), process %s above its start\n",
              bytes_text(r["peak_bytes"]["total"]).c_str(), bytes_text(r["planned_bytes"]).c_str(),
              format_bytes(r["process_peak_bytes"].get<std::int64_t>() -
                           r["process_start_bytes"].get<std::int64_t>())
                  .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_bench([&] { return parse(argc, argv); },
                          [](const Options& o) {
                            ordered_json report = measure(o);
                            add_rates(report, o);
                            return report;
                          },
                          print);
}
