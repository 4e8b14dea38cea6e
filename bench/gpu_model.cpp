// SPDX-License-Identifier: MIT
// Counts what a search step asks of a GPU's memory, kernel by kernel, on the host executor, and
// says how long a simple model of a card would take for it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/gpu_model.h"
#include "bench/parse_or_exit.h"
#include "bench/step_setup.h"
#include "nas/step/supernet_trainer.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;
using simt::check::KernelCount;
using simt::check::KernelCounts;
using simt::check::Traffic;

constexpr const char* about =
    "Counts what the kernels of a search step ask of a GPU's memory, on the host executor, and the "
    "time that a simple model of a card gives it. A model, not a measurement.";
constexpr const char* model_text =
    "model, not a measurement: a kernel takes the longest of compulsory bytes at memory's speed, "
    "sectors at the second-level cache's, requests of global memory (128 bytes at most) and "
    "wavefronts of shared memory at one a clock and multiprocessor, and of a vendor's call "
    "multiply-adds, and then its launch; multiply-adds of our own kernels are not counted";

struct Options : bench::NetworkOptions {
  std::string json, command, card = "h100", method;
  int sample = 2, threads = 0;
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app(about, "gpu_model");
  bench::add_network_options(app, o);
  std::vector<std::string> cards;
  for (const bench::CardModel& card : bench::card_models()) cards.emplace_back(card.name);
  app.add_option("--card", o.card)->check(CLI::IsMember(cards))->capture_default_str();
  app.add_option("--method", o.method,
                 "count a step of this method where alpha rests, and its evaluation, in place of "
                 "the passes of DrNAS");
  app.add_option("--sample", o.sample,
                 "count at this batch size and at twice it, and go on along a line; 0: count at "
                 "--batch-size itself")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--json", o.json, "write all figures to this file");
  bench::parse_or_exit(app, argc, argv);
  o.threads = omp_get_max_threads();
  for (int i = 0; i < argc; ++i) o.command += (i > 0 ? " " : "") + std::string(argv[i]);
  return o;
}

/// Counts by kernel of each kind of step, evaluation as one more.
using Steps = std::map<std::string, KernelCounts>;

Steps count_steps(Options o, int batch_size) {
  o.batch_size = batch_size;
  MemoryQuestion question = bench::question_of(o, Device::cuda);
  const auto [edges, operations] = theta_shape(o.search_space());
  question.method_options = MethodOptions{edges, operations, 1, Device::cuda};
  if (!o.method.empty()) bench::use_method(question, search_method(o.method));
  question.trainer.capture = false;
  const auto supernet = make_supernet(question.supernet, 1, Device::cuda);
  const auto method = question.method->make(*question.method_options);
  SupernetTrainer trainer(*supernet, method->law(), &method->alpha_update(), question.trainer);
  trainer.set_learning_rate(0.025);
  method->begin_epoch(0);
  const DeviceBatch batch = bench::random_batch(batch_size, o.pixels(), Device::cuda);
  Steps steps;
  const auto count = [&](const char* name, const auto& step) {
    simt::check::meter().start();
    step();
    steps[name] = simt::check::meter().stop();
  };
  const auto count_pass = [&](const char* name, const PassSetting& pass) {
    count(name, [&] { trainer.run(pass, batch); });
  };
  bench::OneBatch of_weights(batch), of_alpha(batch);
  if (o.method.empty()) {
    count_pass("architecture", passes::architecture);
    count_pass("weight", passes::weights);
  } else {
    count("weight", [&] { method->step({trainer, of_weights, of_alpha, false, 0}); });
  }
  count_pass("evaluation", method->evaluation());
  for (const std::string& fault : simt::take_faults()) throw Error(fault);
  return steps;
}

/// The line through the counts at `sample` and 2 * `sample` images, at `batch` images.
template <class Value>
Value extended(Value at_sample, Value at_double, double share) {
  const double value =
      static_cast<double>(at_sample) + share * static_cast<double>(at_double - at_sample);
  return static_cast<Value>(std::max(0.0, std::round(value)));
}

Traffic extended(const Traffic& a, const Traffic& b, double share) {
  return {extended(a.requests, b.requests, share), extended(a.moved, b.moved, share),
          extended(a.least, b.least, share), extended(a.bytes, b.bytes, share),
          std::max(a.worst, b.worst)};
}

KernelCount extended(const KernelCount& a, const KernelCount& b, double share) {
  return {a.launches,
          extended(a.blocks, b.blocks, share),
          extended(a.working, b.working, share),
          extended(a.threads, b.threads, share),
          extended(a.read, b.read, share),
          extended(a.write, b.write, share),
          extended(a.shared_read, b.shared_read, share),
          extended(a.shared_write, b.shared_write, share),
          extended(a.bytes_read, b.bytes_read, share),
          extended(a.bytes_written, b.bytes_written, share),
          extended(a.multiply_adds, b.multiply_adds, share)};
}

Steps count_all(const Options& o) {
  if (o.sample == 0 || 2 * o.sample >= o.batch_size) return count_steps(o, o.batch_size);
  Steps few = count_steps(o, o.sample), more = count_steps(o, 2 * o.sample);
  const double share = static_cast<double>(o.batch_size - o.sample) / o.sample;
  for (auto& [step, counts] : few)
    for (auto& [kernel, count] : counts) count = extended(count, more[step][kernel], share);
  return few;
}

ordered_json traffic_json(const Traffic& t, const char* unit) {
  return {{"requests", t.requests},
          {unit, t.moved},
          {"least", t.least},
          {"bytes", t.bytes},
          {"worst", t.worst}};
}

ordered_json kernel_json(const KernelCount& c, const bench::KernelTime& time) {
  ordered_json row{{"launches", c.launches},      {"blocks", c.blocks},
                   {"working_blocks", c.working}, {"threads", c.threads},
                   {"bytes_read", c.bytes_read},  {"bytes_written", c.bytes_written}};
  if (c.threads > 0) {
    row["read"] = traffic_json(c.read, "sectors");
    row["write"] = traffic_json(c.write, "sectors");
    row["shared_read"] = traffic_json(c.shared_read, "wavefronts");
    row["shared_write"] = traffic_json(c.shared_write, "wavefronts");
  } else {
    row["multiply_adds"] = c.multiply_adds;
  }
  row["model_ms"] = {{"memory", time.memory},     {"l2", time.l2},
                     {"loads", time.loads},       {"arithmetic", time.arithmetic},
                     {"launches", time.launches}, {"total", time.total()}};
  return row;
}

ordered_json step_json(const KernelCounts& counts, const bench::CardModel& card,
                       const std::string& precision) {
  KernelCount own, vendor;
  double own_ms = 0, vendor_ms = 0;
  ordered_json kernels;
  for (const auto& [name, count] : counts) {
    const bench::KernelTime time = bench::model_time(count, card, precision);
    kernels[name] = kernel_json(count, time);
    (count.threads > 0 ? own : vendor).add(count);
    (count.threads > 0 ? own_ms : vendor_ms) += time.total();
  }
  return {
      {"launches", own.launches + vendor.launches},
      {"vendor_calls", vendor.launches},
      {"blocks", own.blocks},
      {"working_blocks", own.working},
      {"sector_efficiency", {{"read", own.read.efficiency()}, {"write", own.write.efficiency()}}},
      {"bytes_used_of_sectors", {{"read", own.read.used()}, {"write", own.write.used()}}},
      {"shared_conflict",
       {{"read", 1 / own.shared_read.efficiency()}, {"write", 1 / own.shared_write.efficiency()}}},
      {"bytes",
       {{"own", own.bytes_read + own.bytes_written},
        {"vendor", vendor.bytes_read + vendor.bytes_written}}},
      {"model_ms", {{"own", own_ms}, {"vendor", vendor_ms}, {"total", own_ms + vendor_ms}}},
      {"kernels", kernels}};
}

ordered_json measure(const Options& o) {
  const auto& cards = bench::card_models();
  const auto card =
      std::find_if(cards.begin(), cards.end(), [&](const auto& c) { return c.name == o.card; });
  const std::string precision = bench::precision_name(o, Device::cuda);
  ordered_json report{{"what", model_text},
                      {"command", o.command},
                      {"space", o.space},
                      {"channels", o.channels},
                      {"cells", o.cells},
                      {"batch_size", o.batch_size},
                      {"counted_at", o.sample},
                      {"image_size", o.pixels()},
                      {"partial_channels", o.partial_channels},
                      {"precision", precision},
                      {"conv", o.conv},
                      {"card", o.card}};
  if (!o.method.empty()) report["method"] = o.method;
  for (const auto& [step, counts] : count_all(o))
    report["steps"][step] = step_json(counts, *card, precision);
  return report;
}

void print_step(const std::string& name, const ordered_json& step) {
  std::printf(
      "\n%s step: %d launches, %d of them vendors' calls\n%-34s %8s %9s %7s %7s %7s %7s %8s\n",
      name.c_str(), step["launches"].get<int>(), step["vendor_calls"].get<int>(), "kernel",
      "launches", "MB", "read", "write", "shared", "worst", "model ms");
  std::vector<std::pair<double, std::string>> order;
  for (const auto& [kernel, row] : step["kernels"].items())
    order.emplace_back(-row["model_ms"]["total"].get<double>(), kernel);
  std::sort(order.begin(), order.end());
  const auto efficiency = [](const ordered_json& t, const char* unit) {
    return t[unit] == 0 ? 1.0 : t["least"].get<double>() / t[unit].get<double>();
  };
  for (const auto& [time, kernel] : order) {
    const ordered_json& row = step["kernels"][kernel];
    const double bytes = row["bytes_read"].get<double>() + row["bytes_written"].get<double>();
    std::printf("%-34s %8d %9.1f", kernel.c_str(), row["launches"].get<int>(), bytes / 1e6);
    if (row.contains("read"))
      std::printf(" %7.2f %7.2f %7.2f %7d", efficiency(row["read"], "sectors"),
                  efficiency(row["write"], "sectors"),
                  1 / std::min(efficiency(row["shared_read"], "wavefronts"),
                               efficiency(row["shared_write"], "wavefronts")),
                  std::max(row["shared_read"]["worst"].get<int>(),
                           row["shared_write"]["worst"].get<int>()));
    else
      std::printf(" %31s", "");
    std::printf(" %8.3f\n", -time);
  }
  const auto share = [&](const char* of, const char* way) { return step[of][way].get<double>(); };
  std::printf("blocks %lld, %lld of them wrote anything; MB of own kernels %.1f\n",
              step["blocks"].get<long long>(), step["working_blocks"].get<long long>(),
              step["bytes"]["own"].get<double>() / 1e6);
  std::printf(
      "sectors needed of those moved %.2f read, %.2f written; bytes used of these %.2f, %.2f; "
      "model %.2f ms, %.2f of it vendors' calls\n",
      share("sector_efficiency", "read"), share("sector_efficiency", "write"),
      share("bytes_used_of_sectors", "read"), share("bytes_used_of_sectors", "write"),
      share("model_ms", "total"), share("model_ms", "vendor"));
}

void print(const ordered_json& report) {
  std::printf("%s, %s, batch %d, K %d, %s\n", report["space"].get<std::string>().c_str(),
              report["precision"].get<std::string>().c_str(), report["batch_size"].get<int>(),
              report["partial_channels"].get<int>(), report["card"].get<std::string>().c_str());
  std::printf(
      "%s\nread, write: sectors that the bytes need / sectors moved; shared: wavefronts / "
      "the least; worst: ways of a bank conflict\n",
      model_text);
  for (const auto& [name, step] : report["steps"].items()) print_step(name, step);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_bench([&] { return parse(argc, argv); }, measure, print);
}
