// SPDX-License-Identifier: MIT
// Rates of the card, and each kernel family's share of its copy bandwidth.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <fstream>

#include "bench/bench_device.h"
#include "bench/parse_or_exit.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;

struct Options {
  int batch_size = 64;
  std::string json;
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Measures the card, then every kernel family on it", "bench_device");
  app.add_option("--batch-size", o.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--json", o.json, "write all figures to this file");
  bench::parse_or_exit(app, argc, argv);
  return o;
}

void require_card() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess) throw Error(std::string("no GPU: ") + cudaGetErrorString(status));
  if (devices == 0) throw Error("no GPU here");
}

ordered_json row_of(const bench::KernelTime& t, double copy_gb_per_s) {
  const double gb_per_s = t.bytes / t.milliseconds / 1e6;
  return {{"family", t.family},
          {"direction", t.direction},
          {"channels", t.channels},
          {"size", t.size},
          {"partial_channels", t.parts},
          {"milliseconds", t.milliseconds},
          {"bytes", t.bytes},
          {"gb_per_s", gb_per_s},
          {"share_of_copy_bandwidth", gb_per_s / copy_gb_per_s},
          {"gflops", t.flops / t.milliseconds / 1e6}};
}

ordered_json measure(const Options& o) {
  const bench::DeviceTimer timer;
  ordered_json report{{"program", "bench_device"}, {"batch_size", o.batch_size}};
  report["card"] = bench::describe_card();
  report.update(bench::measure_card(timer));
  const double copy = report["copy"]["best_gb_per_s"];
  report["kernels"] = ordered_json::array();
  for (const bench::KernelTime& t : bench::time_kernels(timer, o.batch_size))
    report["kernels"].push_back(row_of(t, copy));
  return report;
}

void print(const ordered_json& r) {
  std::printf("%s: copies %.0f GB/s (runtime %.0f, kernel %.0f; reads and writes), ",
              r["card"]["name"].get<std::string>().c_str(),
              r["copy"]["best_gb_per_s"].get<double>(), r["copy"]["memcpy_gb_per_s"].get<double>(),
              r["copy"]["kernel_gb_per_s"].get<double>());
  std::printf("float32 matrices %.1f TFLOP/s, launch in a graph %.2f us\n",
              r["matrix"]["tflops_fp32"].get<double>(),
              r["launch"]["microseconds_per_node"].get<double>());
  std::printf("%-14s %-22s %4s %5s %2s %10s %9s %6s %9s\n", "family", "", "C", "side", "K", "ms",
              "GB/s", "share", "GFLOP/s");
  for (const ordered_json& k : r["kernels"])
    std::printf("%-14s %-22s %4d %5d %2d %10.4f %9.1f %6.2f %9.0f\n",
                k["family"].get<std::string>().c_str(), k["direction"].get<std::string>().c_str(),
                k["channels"].get<int>(), k["size"].get<int>(), k["partial_channels"].get<int>(),
                k["milliseconds"].get<double>(), k["gb_per_s"].get<double>(),
                k["share_of_copy_bandwidth"].get<double>(), k["gflops"].get<double>());
}

void write(const std::string& path, const ordered_json& report) {
  std::ofstream file(path);
  file << report.dump(2) << "\n";
  if (!file.flush()) throw Error(path + ": cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    require_card();
    const ordered_json report = measure(options);
    print(report);
    if (!options.json.empty()) write(options.json, report);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 2;
  }
}
