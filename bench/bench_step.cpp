// SPDX-License-Identifier: MIT
// Times the architecture step and the weight step of a supernet on random images.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/machine.h"
#include "engine/files.h"
#include "kernels/conv2d_plan.h"
#include "kernels/philox_fill.h"
#include "nas/trainer.h"
#include "nas/version.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;

struct Options {
  std::string space = "nas-bench-201", json;
  int channels = 16, cells = 5, batch_size = 64, partial_channels = 1, steps = 9, threads = 0;
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Times both search steps on random images", "bench_step");
  app.add_option("--space", o.space)
      ->check(CLI::IsMember({"nas-bench-201"}))
      ->capture_default_str();
  app.add_option("--channels", o.channels)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--cells", o.cells)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--batch-size", o.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--partial-channels", o.partial_channels)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--steps", o.steps, "timed steps of each kind")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--threads", o.threads, "0: all cores")->capture_default_str();
  app.add_option("--json", o.json, "write all figures to this file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    std::exit(app.exit(help));
  } catch (const CLI::ParseError& failure) {
    throw Error(failure.what());
  }
  if (o.threads <= 0) o.threads = omp_get_max_threads();
  return o;
}

/// FLOPs of the convolutions of one forward pass (multiply-adds times two): every cell 60 C^2 a
/// pixel, stem, residual blocks.
double forward_flops(const Options& o) {
  double macs = 27.0 * o.channels * 1024;
  for (int stage = 0; stage < 3; ++stage) {
    const double c = o.channels << stage, pixels = 1024 >> (2 * stage),
                 mixed = c / o.partial_channels;
    macs += 60.0 * o.cells * mixed * mixed * pixels;
    if (stage) macs += (9.0 * c * c / 2 + 9.0 * c * c + c * c / 2) * pixels;
  }
  return 2.0 * macs * o.batch_size;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

ordered_json summary(const std::vector<StepResult>& steps) {
  const auto values = [&](auto get) {
    std::vector<double> all;
    for (const StepResult& s : steps) all.push_back(get(s));
    return all;
  };
  const auto total = values([](const StepResult& s) { return s.total_ms; });
  return {{"median", median(total)},
          {"min", *std::min_element(total.begin(), total.end())},
          {"max", *std::max_element(total.begin(), total.end())},
          {"phases",
           {{"forward", median(values([](const StepResult& s) { return s.forward_ms; }))},
            {"backward", median(values([](const StepResult& s) { return s.backward_ms; }))},
            {"optimizer", median(values([](const StepResult& s) { return s.optimizer_ms; }))}}}};
}

DeviceBatch random_batch(int count) {
  std::vector<float> images(static_cast<std::size_t>(count) * 32 * 32 * 3);
  kernels::fill_normal<Device::cpu>(images.data(), static_cast<std::int64_t>(images.size()), 0, 1,
                                    1, kernels::Purpose::synthetic, 0, nullptr);
  std::vector<std::int32_t> labels(count);
  for (int i = 0; i < count; ++i) labels[i] = i % 10;
  return {images, labels, 32, Device::cpu};
}

ordered_json memory_of(const MemoryCounters& counters) {
  ordered_json by_tag;
  for (int t = 0; t < memory_tag_count; ++t)
    by_tag[to_string(static_cast<MemoryTag>(t))] = counters.by_tag_at_peak[t];
  return {{"total", counters.peak}, {"by_tag", by_tag}};
}

ordered_json measure(const Options& o) {
  ordered_json report{{"space", o.space},
                      {"channels", o.channels},
                      {"cells", o.cells},
                      {"batch_size", o.batch_size},
                      {"partial_channels", o.partial_channels},
                      {"threads", o.threads}};
  report["process_start_bytes"] = bench::process_bytes("VmRSS");
  Nb201Supernet supernet({o.channels, o.cells, 10, o.partial_channels}, 1);
  const auto distribution =
      make_dirichlet({Nb201Supernet::edges, Nb201Supernet::ops, 1, Device::cpu}, 1);
  Trainer trainer(supernet, *distribution, {});
  const DeviceBatch batch = random_batch(o.batch_size);
  std::vector<StepResult> architecture, weight;
  std::int64_t warm_allocations = 0;
  for (int s = 0; s <= o.steps; ++s) {  // the first of each kind warms up
    const StepResult a = trainer.architecture_step(batch), w = trainer.weight_step(batch, 0.025);
    if (s == 0) warm_allocations = Allocator::of(Device::cpu).counters().native_allocations;
    if (s == 0) continue;
    architecture.push_back(a);
    weight.push_back(w);
  }
  const MemoryCounters counters = Allocator::of(Device::cpu).counters();
  report["process_peak_bytes"] = bench::process_bytes("VmHWM");
  report["architecture_step_ms"] = summary(architecture);
  report["weight_step_ms"] = summary(weight);
  report["peak_bytes"] = memory_of(counters);
  report["reserved_bytes"] = counters.reserved;
  report["native_allocations_after_warmup"] = counters.native_allocations - warm_allocations;
  return report;
}

void add_rates(ordered_json& report, const Options& o) {
  const double forward = forward_flops(o), peak = bench::measured_peak_gflops(o.threads);
  const auto rate = [&](const char* step, double passes) {
    return passes * forward / report[step]["median"].get<double>() / 1e6;
  };
  report["convolution_gflop"] = {{"architecture_step", 2 * forward / 1e9},
                                 {"weight_step", 3 * forward / 1e9}};
  report["convolution_gflops"] = {{"architecture_step", rate("architecture_step_ms", 2)},
                                  {"weight_step", rate("weight_step_ms", 3)}};
  report["peak_gflops"] = peak;
  report["share_of_peak"] = {{"architecture_step", rate("architecture_step_ms", 2) / peak},
                             {"weight_step", rate("weight_step_ms", 3) / peak}};
}

void print(const ordered_json& r) {
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
  std::printf("tensors %s at the peak, process %s above its start\n",
              format_bytes(r["peak_bytes"]["total"].get<std::int64_t>()).c_str(),
              format_bytes(r["process_peak_bytes"].get<std::int64_t>() -
                           r["process_start_bytes"].get<std::int64_t>())
                  .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    omp_set_num_threads(options.threads);
    ordered_json report = measure(options);
    add_rates(report, options);
    report["machine"] = {{"processor", bench::processor()}, {"cores", omp_get_num_procs()}};
    report["onednn"] = kernels::onednn_version();
    report["date"] = bench::today();
    report["git_commit"] = git_commit();
    print(report);
    if (!options.json.empty()) write_file_atomically(options.json, report.dump(2) + "\n");
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 2;
  }
}
