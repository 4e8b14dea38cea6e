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
#include "engine/files.h"
#include "engine/gpu.h"
#include "engine/version.h"
#include "kernels/layers/conv2d.h"
#include "kernels/layers/conv2d_plan.h"
#include "nas/search/memory_plan.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"
#include "nas/step/supernet_trainer.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;

constexpr const char* imagenet_name = "darts-imagenet";

/// Names of --space: the spaces, and the DARTS space with the ImageNet stem.
std::vector<std::string> space_names() {
  std::vector<std::string> names{imagenet_name};
  for (const SearchSpace* space : search_spaces()) names.emplace_back(space->facts().name);
  return names;
}

struct Options {
  std::string space = "nas-bench-201", json, device_name = "cpu", raw_outputs = "auto",
              precision = "auto";
  int channels = 16, cells = 5, batch_size = 64, partial_channels = 1, steps = 9, threads = 0,
      image_size = 0;
  bool no_graph = false;
  Device device = Device::cpu;  ///< what device_name stands for
};

const SearchSpace& space_of(const Options& o) {
  return search_space(o.space == imagenet_name ? "darts" : o.space);
}

Precision precision_of(const Options& o) {
  return choose_precision(space_of(o).facts(), o.precision, o.device, o.channels);
}

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Times both search steps on random images", "bench_step");
  app.add_option("--space", o.space)->check(CLI::IsMember(space_names()))->capture_default_str();
  app.add_option("--channels", o.channels)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--cells", o.cells, "of a section; in the DARTS space in all")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--partial-channels", o.partial_channels)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--image-size", o.image_size, "pixels; 0: 32, with the ImageNet stem 224");
  app.add_option("--precision", o.precision,
                 "fp32, tf32, bf16 or auto: on CUDA bf16 in NAS-Bench-201, tf32 in the DARTS space")
      ->check(CLI::IsMember({"auto", "fp32", "tf32", "bf16"}));
  app.add_option("--raw-outputs", o.raw_outputs, "store, rebuild-1x1, rebuild or auto")
      ->check(CLI::IsMember({"auto", "store", "rebuild-1x1", "rebuild"}))
      ->capture_default_str();
  bench::add_common_options(app, o);
  bench::parse_options(app, argc, argv, o);
  if (o.image_size <= 0) o.image_size = o.space == imagenet_name ? 224 : 32;
  if (precision_of(o).tf32) kernels::set_conv_math(kernels::ConvMath::tf32);
  return o;
}

MemoryQuestion question_of(const Options& o) {
  MemoryQuestion question;
  question.supernet = {.channels = o.channels,
                       .cells = o.cells,
                       .classes = 10,
                       .partial_channels = o.partial_channels,
                       .space = &space_of(o),
                       .imagenet_stem = o.space == imagenet_name};
  question.image_size = o.image_size;
  question.supernet.storage = precision_of(o).storage;
  question.batch_sizes = {o.batch_size};
  question.device = o.device;
  question.trainer.capture = !o.no_graph;
  question.trainer.clip_with_alpha = space_of(o).facts().clips_with_alpha;  // as published
  question.supernet.raw_outputs = choose_raw_outputs(o.raw_outputs, question, 0);
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
                      {"image_size", o.image_size},
                      {"partial_channels", o.partial_channels},
                      {"threads", o.threads},
                      {"device", cuda ? "cuda" : "cpu"},
                      {"precision", question.supernet.storage == DType::bf16          ? "bf16"
                                    : kernels::conv_math() == kernels::ConvMath::tf32 ? "tf32"
                                                                                      : "fp32"},
                      {"raw_outputs", to_string(question.supernet.raw_outputs)}};
  if (cuda) report["gpu"] = describe_gpu();
  const bench::CardMemory card = cuda ? bench::card_memory() : bench::CardMemory{};
  report["process_start_bytes"] = bench::process_bytes("VmRSS");
  const std::unique_ptr<Supernet> supernet = make_supernet(question.supernet, 1, o.device);
  const auto [edges, operations] = theta_shape(space_of(o));
  const auto method = question.method->make({edges, operations, 1, o.device});
  SupernetTrainer trainer(*supernet, method->law(), &method->alpha_update(), question.trainer);
  const DeviceBatch batch = bench::random_batch(o.batch_size, o.image_size, o.device);
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
  report["planned_bytes"] = plan_memory(question).peak;
  return report;
}

void add_rates(ordered_json& report, const Options& o) {
  const double forward =
      2.0 * o.batch_size * space_of(o).multiply_adds(question_of(o).supernet, o.image_size);
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
