// SPDX-License-Identifier: MIT
#include "tools/cli/seeds.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "nas/run/run_folder.h"
#include "tools/cli/text.h"

namespace drnas::tools {
namespace {

std::string spread_text(const char* name, std::span<const SearchResult> results,
                        double TableAccuracy::*member) {
  std::vector<double> values;
  for (const SearchResult& result : results) values.push_back((*result.table).*member);
  const Spread s = spread(values);
  return std::string(name) + " " + fixed(s.mean, 2) + " +- " + fixed(s.deviation, 2);
}

}  // namespace

Spread spread(std::span<const double> values) {
  if (values.empty()) return {};
  const auto count = static_cast<double>(values.size());
  Spread s;
  s.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double v : values) squares += (v - s.mean) * (v - s.mean);
  if (values.size() > 1) s.deviation = std::sqrt(squares / (count - 1));
  return s;
}

SearchOptions options_for_seed(const SearchOptions& options, std::uint64_t seed) {
  SearchOptions one = options;
  one.seed = seed;
  one.seeds.clear();
  one.out = options.out / ("seed-" + std::to_string(seed));
  one.resume = options.resume && holds_run(one.out);
  return one;
}

std::string seeds_summary(std::span<const std::uint64_t> seeds,
                          std::span<const SearchResult> results) {
  std::string text;
  bool table = !results.empty();
  for (std::size_t i = 0; i < results.size(); ++i) {
    const SearchResult& result = results[i];
    text += "seed " + std::to_string(seeds[i]) + "  " + result.genotype + "\n";
    if (result.table) text += "        " + accuracies(*result.table) + "\n";
    table = table && result.table.has_value();
  }
  if (!table) return text;
  return text + "mean and deviation of " + std::to_string(results.size()) + ": " +
         spread_text("CIFAR-10", results, &TableAccuracy::cifar10) + ", " +
         spread_text("CIFAR-100", results, &TableAccuracy::cifar100) + ", " +
         spread_text("ImageNet-16-120", results, &TableAccuracy::imagenet16_120) + "\n";
}

}  // namespace drnas::tools
