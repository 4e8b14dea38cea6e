// SPDX-License-Identifier: MIT
// Times the training step of a derived network on random images.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/machine.h"
#include "engine/files.h"
#include "engine/gpu.h"
#include "engine/version.h"
#include "kernels/layers/conv2d_plan.h"
#include "nas/step/network_trainer.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;

struct Options {
  std::string genotype = "DrNAS_cifar10", json, device_name = "cpu";
  int channels = 36, layers = 20, batch_size = 32, image_size = 0, steps = 9, threads = 0;
  double drop_path = 0.3;
  bool imagenet = false, no_auxiliary = false, no_graph = false;
  Device device = Device::cpu;  ///< what device_name stands for
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Times the training step of a derived network on random images", "bench_train");
  app.add_option("--genotype", o.genotype, "a published name, a genotype or a file")
      ->capture_default_str();
  app.add_flag("--imagenet", o.imagenet, "stem and auxiliary head for 224 pixels");
  app.add_option("--channels", o.channels)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--layers", o.layers, "cells in all; NAS-Bench-201: of a section")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--image-size", o.image_size, "pixels; 0: 32, with --imagenet 224");
  app.add_option("--drop-path", o.drop_path, "probability")
      ->check(CLI::Range(0.0, 0.99))
      ->capture_default_str();
  app.add_flag("--no-auxiliary", o.no_auxiliary, "no auxiliary head (of weight 0.4)");
  bench::add_common_options(app, o);
  bench::parse_options(app, argc, argv, o);
  if (o.image_size <= 0) o.image_size = o.imagenet ? 224 : 32;
  return o;
}

ordered_json describe(const Options& o) {
  return {{"genotype", o.genotype},
          {"imagenet", o.imagenet},
          {"channels", o.channels},
          {"layers", o.layers},
          {"batch_size", o.batch_size},
          {"image_size", o.image_size},
          {"auxiliary", !o.no_auxiliary},
          {"drop_path", o.drop_path},
          {"steps", o.steps},
          {"threads", o.threads},
          {"device", o.device == Device::cuda ? "cuda" : "cpu"}};
}

DerivedOptions network_options(const Options& o) {
  DerivedOptions options;
  options.genotype = find_genotype(o.genotype);
  options.channels = o.channels;
  options.layers = o.layers;
  options.image_size = o.image_size;
  options.imagenet = o.imagenet;
  options.auxiliary = !o.no_auxiliary;
  return options;
}

void add_rate(ordered_json& report, const Options& o, const NetworkCost& cost) {
  const double forward = 2.0 * static_cast<double>(cost.multiply_adds) * o.batch_size,
               gflop = 3 * forward / 1e9,
               rate = 1e3 * gflop / report["training_step_ms"]["median"].get<double>();
  report["parameters"] = cost.parameters;
  report["gflop"] = gflop;  // forward and both gradients, without the auxiliary head
  report["gflops"] = rate;
  if (o.device == Device::cuda) return;
  report["peak_gflops"] = bench::measured_peak_gflops(o.threads);
  report["share_of_peak"] = rate / report["peak_gflops"].get<double>();
}

ordered_json measure(const Options& o) {
  const bool cuda = o.device == Device::cuda;
  ordered_json report = describe(o);
  if (cuda) report["gpu"] = describe_gpu();
  const DerivedOptions options = network_options(o);
  report["process_start_bytes"] = bench::process_bytes("VmRSS");
  const std::unique_ptr<DerivedNetwork> network = make_derived_network(options, 1, o.device);
  const DeviceBatch batch = bench::random_batch(o.batch_size, o.image_size, o.device);
  NetworkTrainerOptions settings;  // momentum 0.9, weight decay 3e-4, clipping at 5 as published
  settings.auxiliary_weight = o.no_auxiliary ? 0.0f : 0.4f;
  settings.drop_path = o.drop_path > 0;
  settings.capture = !o.no_graph;
  NetworkTrainer trainer(*network, settings);
  trainer.set_epoch(0.025, o.drop_path);
  const int warm_up = cuda ? 4 : 1;
  std::vector<StepResult> steps;
  for (int s = 0; s < warm_up + o.steps; ++s) {
    const StepResult times = trainer.train(batch);
    if (s >= warm_up) steps.push_back(times);
  }
  const MemoryCounters counters = Allocator::of(o.device).counters();
  report["process_peak_bytes"] = bench::process_bytes("VmHWM");
  report["training_step_ms"] = bench::summary(steps);
  report["last_loss"] = steps.back().loss;
  report["peak_bytes"] = bench::memory_of(counters);
  report["reserved_bytes"] = counters.reserved;
  if (cuda) report["launches"] = trainer.launches(batch);
  add_rate(report, o, network->cost());
  return report;
}

void print(const ordered_json& r) {
  const ordered_json &t = r["training_step_ms"], &phases = t["phases"];
  std::printf(
      "training step: median %.1f ms, %.1f to %.1f; forward %.1f, backward %.1f, optimizer "
      "%.1f; %.1f GFLOP/s\n",
      t["median"].get<double>(), t["min"].get<double>(), t["max"].get<double>(),
      phases["forward"].get<double>(), phases["backward"].get<double>(),
      phases["optimizer"].get<double>(), r["gflops"].get<double>());
  const auto text = [](std::int64_t bytes) { return format_bytes(bytes); };
  std::printf("tensors %s at the peak, process %s above its start\n",
              text(r["peak_bytes"]["total"].get<std::int64_t>()).c_str(),
              text(r["process_peak_bytes"].get<std::int64_t>() -
                   r["process_start_bytes"].get<std::int64_t>())
                  .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_bench([&] { return parse(argc, argv); }, measure, print);
}
