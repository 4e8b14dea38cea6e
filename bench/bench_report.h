// SPDX-License-Identifier: MIT
#pragma once

#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/parse_or_exit.h"
#include "data/device_batch.h"
#include "engine/files.h"
#include "engine/gpu.h"
#include "engine/memory/allocator.h"
#include "engine/version.h"
#include "kernels/layers/conv2d_plan.h"
#include "kernels/random/philox_fill.h"
#include "nas/run/machine.h"

namespace drnas::bench {

/// What the reports of bench_step and bench_train have in common.

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Median, min and max of the steps' times, and the medians of their phases. `Step` has total_ms,
/// forward_ms, backward_ms and optimizer_ms.
template <class Step>
nlohmann::ordered_json summary(const std::vector<Step>& steps) {
  const auto values = [&](double Step::*member) {
    std::vector<double> all;
    for (const Step& s : steps) all.push_back(s.*member);
    return all;
  };
  const std::vector<double> total = values(&Step::total_ms);
  return {{"median", median(total)},
          {"min", *std::min_element(total.begin(), total.end())},
          {"max", *std::max_element(total.begin(), total.end())},
          {"phases",
           {{"forward", median(values(&Step::forward_ms))},
            {"backward", median(values(&Step::backward_ms))},
            {"optimizer", median(values(&Step::optimizer_ms))}}}};
}

/// Images of N(0, 1) with ten classes in turn.
inline DeviceBatch random_batch(int count, int image_size, Device device) {
  std::vector<float> images(static_cast<std::size_t>(count) * image_size * image_size * 3);
  kernels::fill_normal<Device::cpu>(images.data(), static_cast<std::int64_t>(images.size()), 0, 1,
                                    1, kernels::Purpose::synthetic, 0, nullptr);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) labels[static_cast<std::size_t>(i)] = i % 10;
  return {images, labels, image_size, device};
}

/// The peak in all and by tag.
inline nlohmann::ordered_json memory_of(const MemoryCounters& counters) {
  nlohmann::ordered_json by_tag;
  for (int t = 0; t < memory_tag_count; ++t)
    by_tag[to_string(static_cast<MemoryTag>(t))] = counters.by_tag_at_peak[t];
  return {{"total", counters.peak}, {"by_tag", by_tag}};
}

/// Adds the options that every step bench has; `Options` has these members.
template <class Options>
void add_common_options(CLI::App& app, Options& o) {
  app.add_option("--steps", o.steps, "timed steps of each kind")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--threads", o.threads, "0: all cores")->capture_default_str();
  app.add_option("--device", o.device_name, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}))
      ->capture_default_str();
  app.add_flag("--no-graph", o.no_graph, "on CUDA: call every kernel instead of replaying steps");
  app.add_option("--json", o.json, "write all figures to this file");
}

/// Parses; ends the program after --help, throws Error for what is wrong. Then threads and device
/// are what they stand for.
template <class Options>
void parse_options(CLI::App& app, int argc, char** argv, Options& o) {
  parse_or_exit(app, argc, argv);
  if (o.threads <= 0) o.threads = omp_get_max_threads();
  std::string note;
  o.device = choose_device(o.device_name, note);
  if (!note.empty()) std::printf("%s\n", note.c_str());
}

/// Main of a step bench: measures, says where and when, prints and writes the report.
template <class Parse, class Measure, class Print>
int run_bench(const Parse& parse, const Measure& measure, const Print& print) {
  try {
    const auto options = parse();
    omp_set_num_threads(options.threads);
    nlohmann::ordered_json report = measure(options);
    report["machine"] = {{"processor", processor()}, {"cores", omp_get_num_procs()}};
    report["onednn"] = kernels::onednn_version();
    report["date"] = utc_time().substr(0, 10);
    report["git_commit"] = git_commit();
    print(report);
    if (!options.json.empty()) write_file_atomically(options.json, report.dump(2) + "\n");
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 2;
  }
}

}  // namespace drnas::bench
