// SPDX-License-Identifier: MIT
// What the precision of a GPU does to a search's outcome: small searches of NAS-Bench-201 on the
// host executor in float32 and bfloat16 with equal seeds, and on the CPU in float32, whose sums
// have another order: what rounding alone does is the yardstick.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bench/bench_report.h"
#include "bench/parse_or_exit.h"
#include "executor.h"
#include "nas/search/search.h"
#include "nas/space/nb201/nb201_cell.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;

constexpr const char* about =
    "Runs small NAS-Bench-201 searches with equal seeds in float32 on the CPU, and in float32 and "
    "bfloat16 through the CUDA kernels on the host executor, and compares them.";
constexpr const char* note_text =
    "the CUDA kernels ran on the host executor, convolutions by stand-ins of cuDNN. Differences of "
    "losses: of epochs' means. Of concentrations: at the end, and how far those of the first of "
    "the "
    "two have moved from 1, where they begin";

struct Options {
  SearchOptions search = preset_options("quick");
  std::string json, command;
  int threads = 1;
};

Options parse(int argc, char** argv) {
  Options o;
  SearchOptions& s = o.search;
  s.image_size = 16;
  s.limit_train = 512;
  s.channels = 8;
  s.epochs = 8;
  s.alpha_start_epoch = 1;
  s.seeds = {1, 2};
  CLI::App app(about, "compare_precisions");
  app.add_option("--dataset", s.dataset)->capture_default_str();
  app.add_option("--data", s.data, "folder of the data set");
  app.add_option("--image-size", s.image_size, "of an image folder")->capture_default_str();
  app.add_option("--limit-train", s.limit_train, "images, both halves")->capture_default_str();
  app.add_option("--channels", s.channels, "a multiple of 8")->capture_default_str();
  app.add_option("--cells", s.cells, "of a section")->capture_default_str();
  app.add_option("--partial-channels", s.partial_channels)->capture_default_str();
  app.add_option("--epochs", s.epochs)->capture_default_str();
  app.add_option("--batch-size", s.batch_size)->capture_default_str();
  app.add_option("--alpha-learning-rate", s.alpha_learning_rate)->capture_default_str();
  app.add_option("--alpha-start-epoch", s.alpha_start_epoch)->capture_default_str();
  app.add_option("--seeds", s.seeds)->delimiter(',')->capture_default_str();
  app.add_option("--threads", o.threads)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--out", s.out, "new folder of the runs")->required();
  app.add_option("--json", o.json, "write all figures to this file");
  bench::parse_or_exit(app, argc, argv);
  s.threads = o.threads;
  for (int i = 0; i < argc; ++i) o.command += (i > 0 ? " " : "") + std::string(argv[i]);
  return o;
}

struct Run {
  std::string device, precision;
  std::uint64_t seed;
  std::vector<EpochRecord> epochs;
  SearchResult result;

  std::string name() const { return precision + (device == "cpu" ? " on the CPU" : ""); }
};

struct Recorder : SearchObserver {
  std::vector<EpochRecord>& epochs;
  explicit Recorder(std::vector<EpochRecord>& to) : epochs(to) {}
  void on_epoch(const EpochRecord& record) override { epochs.push_back(record); }
};

Run run(const Options& from, const char* device, const char* precision, std::uint64_t seed) {
  Run r{device, precision, seed, {}, {}};
  SearchOptions o = from.search;
  o.seeds.clear();
  o.seed = seed;
  o.device = device;
  o.precision = precision;
  o.out /= r.device + "-" + precision + "-" + std::to_string(seed);
  Recorder recorder(r.epochs);
  std::fprintf(stderr, "%s, seed %d\n", r.name().c_str(), static_cast<int>(seed));
  r.result = run_search(o, recorder);
  for (const std::string& fault : simt::take_faults()) throw Error(fault);
  return r;
}

/// Mean and largest of f over all pairs of entries.
struct Spread {
  double mean = 0, largest = 0;

  void add(double difference) {
    mean = (mean * count_ + std::abs(difference)) / (count_ + 1);
    largest = std::max(largest, std::abs(difference));
    ++count_;
  }

 private:
  int count_ = 0;
};

int different_edges(const std::string& a, const std::string& b) {
  const Nb201Cell first = parse_nb201(a), second = parse_nb201(b);
  int different = 0;
  for (int e = 0; e < Nb201Cell::edges; ++e) different += first.op[e] != second.op[e];
  return different;
}

/// The row of two runs that differ in one thing.
std::vector<ordered_json> compare(const std::string& what, const Run& a, const Run& b) {
  Spread loss, validation, concentration, moved;
  for (std::size_t e = 0; e < a.epochs.size(); ++e) {
    loss.add(a.epochs[e].train_loss - b.epochs[e].train_loss);
    validation.add(a.epochs[e].val_loss - b.epochs[e].val_loss);
  }
  const auto &first = a.epochs.back().concentrations, &second = b.epochs.back().concentrations;
  for (std::size_t edge = 0; edge < first.size(); ++edge)
    for (std::size_t op = 0; op < first[edge].size(); ++op) {
      concentration.add(first[edge][op] - second[edge][op]);
      moved.add(first[edge][op] - 1);  // where they begin
    }
  return {what,
          a.seed,
          loss.mean,
          loss.largest,
          validation.mean,
          concentration.mean,
          concentration.largest,
          moved.mean,
          different_edges(a.result.genotype, b.result.genotype),
          a.result.table->cifar10,
          b.result.table->cifar10};
}

ordered_json run_json(const Run& r) {
  ordered_json json{{"run", r.name()}, {"seed", r.seed}};
  for (const EpochRecord& e : r.epochs) {
    json["train_loss"].push_back(e.train_loss);
    json["val_loss"].push_back(e.val_loss);
    json["val_top1"].push_back(e.val_top1);
  }
  json["concentrations"] = r.epochs.back().concentrations;
  json["genotype"] = r.result.genotype;
  json["cifar10"] = r.result.table->cifar10;
  return json;
}

ordered_json measure(const Options& o) {
  const SearchOptions& s = o.search;
  ordered_json report{{"title", "NAS-Bench-201 searches in float32 and bfloat16 with equal seeds"},
                      {"command", o.command},
                      {"note", note_text},
                      {"options",
                       {{"dataset", s.dataset},
                        {"limit_train", s.limit_train},
                        {"image_size", s.image_size},
                        {"channels", s.channels},
                        {"cells", s.cells},
                        {"partial_channels", s.partial_channels[0]},
                        {"epochs", s.epochs},
                        {"batch_size", s.batch_size},
                        {"alpha_learning_rate", s.alpha_learning_rate}}},
                      {"columns",
                       {"compared", "seed", "training losses differ, mean", "largest",
                        "validation losses differ, mean", "concentrations differ, mean",
                        "the largest", "have moved, mean", "edges that differ, of 6",
                        "cell of the first, %", "of the second, %"}}};
  std::vector<Run> bf16;
  for (const std::uint64_t seed : s.seeds) {
    const Run cpu = run(o, "cpu", "fp32", seed), fp32 = run(o, "cuda", "fp32", seed);
    bf16.push_back(run(o, "cuda", "bf16", seed));
    report["rows"].push_back(compare("fp32, bf16", fp32, bf16.back()));
    report["rows"].push_back(compare("fp32, fp32 on the CPU", fp32, cpu));
    for (const Run* r : {&cpu, &fp32, &std::as_const(bf16.back())})
      report["runs"].push_back(run_json(*r));
  }
  for (std::size_t i = 1; i < bf16.size(); ++i)
    report["rows"].push_back(compare("bf16, the next seed's bf16", bf16[i - 1], bf16[i]));
  return report;
}

void print(const ordered_json& report) {
  const ordered_json& runs = report["runs"];
  for (std::size_t first = 0; first < runs.size(); first += 3) {
    std::printf("seed %d, loss on the weights' half / on the other, by epoch\n%5s",
                runs[first]["seed"].get<int>(), "epoch");
    for (std::size_t i = first; i < first + 3; ++i)
      std::printf("  %-16s", runs[i]["run"].get<std::string>().c_str());
    for (std::size_t e = 0; e < runs[first]["train_loss"].size(); ++e) {
      std::printf("\n%5zu", e + 1);
      for (std::size_t i = first; i < first + 3; ++i)
        std::printf("  %.4f / %.4f ", runs[i]["train_loss"][e].get<double>(),
                    runs[i]["val_loss"][e].get<double>());
    }
    std::printf("\n");
    for (std::size_t i = first; i < first + 3; ++i)
      std::printf("%-16s %s, %.2f %% in the table\n", runs[i]["run"].get<std::string>().c_str(),
                  runs[i]["genotype"].get<std::string>().c_str(), runs[i]["cifar10"].get<double>());
  }
  for (const ordered_json& row : report["rows"]) {
    std::printf("\n");
    for (std::size_t i = 0; i < row.size(); ++i)
      std::printf("%s: %s\n", report["columns"][i].get<std::string>().c_str(),
                  row[i].dump().c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_bench([&] { return parse(argc, argv); }, measure, print);
}
