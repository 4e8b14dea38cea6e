// SPDX-License-Identifier: MIT
#include "nas/diagnostics/trajectory.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace drnas {
namespace {

constexpr std::uint32_t first_draw = 0xfffffffeu;

/// Between order statistics, at `share` of the way from the least to the largest.
double at_share(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - std::floor(place)) * (sorted[above] - sorted[below]);
}

}  // namespace

Quartiles quartiles(std::vector<double> values) {
  if (values.empty()) throw Error("quartiles: no values, expected at least one");
  std::sort(values.begin(), values.end());
  return {values.front(), at_share(values, 0.25), at_share(values, 0.5), at_share(values, 0.75),
          values.back()};
}

TrajectoryRecord sample_trajectory(Law& law, const SearchSpace& space, bool none,
                                   const Architecture& chosen, const AccuracyTable* table,
                                   int samples, std::int64_t epoch) {
  TrajectoryRecord record;
  record.samples = samples;
  std::set<std::string> cells;
  std::map<std::string, std::vector<double>> accuracy;
  for (int i = 0; i < samples; ++i) {
    const auto draw = first_draw - static_cast<std::uint32_t>(epoch * samples + i);
    const Architecture a = space.derive(law.sampled(draw), none);
    cells.insert(a.genotype);
    record.agreement += agreement(chosen, a) / samples;
    if (table == nullptr || !a.number) continue;
    for (const TableColumn& column : table_columns)
      accuracy[std::string(column.key)].push_back(table->at(*a.number).*column.accuracy);
  }
  record.distinct = static_cast<int>(cells.size());
  for (auto& [name, values] : accuracy) record.accuracy[name] = quartiles(std::move(values));
  return record;
}

}  // namespace drnas
