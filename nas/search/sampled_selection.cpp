// SPDX-License-Identifier: MIT
#include "nas/search/sampled_selection.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "kernels/random/philox.h"

namespace drnas {

EdgeWeights SampledSelection::draw(const EdgeWeights& theta, std::uint64_t seed, int number) {
  const kernels::RandomStream stream{seed, kernels::Purpose::trajectory};
  EdgeWeights weights = theta;
  std::uint32_t entry = 0;
  for (std::vector<double>& row : weights) {
    const double whole = std::accumulate(row.begin(), row.end(), 0.0);
    double sum = 0;
    for (double& weight : row) {
      const kernels::PhiloxWords w = stream.words(static_cast<std::uint32_t>(number), entry++);
      weight /= -std::log(kernels::uniform_double(w.word[0], w.word[1]));
      sum += weight;
    }
    for (double& weight : row) weight *= whole / sum;
  }
  return weights;
}

SampledSelection::SampledSelection(const SearchSpace& space, bool none, EdgeWeights theta,
                                   int cells, std::uint64_t seed)
    : space_(space),
      none_(none),
      start_(std::move(theta)),
      operations_(space.operations(none).size()) {
  EdgeWeights drawn_from = start_;
  for (std::vector<double>& row : drawn_from) row.resize(operations_);
  std::map<std::string, int> first;
  for (int number = 0; number < cells; ++number) {
    const Architecture drawn = space.derive(draw(drawn_from, seed, number), none);
    if (entries_of(drawn, space, none).size() != drawn.choices.size())
      throw Error("--select sampled: --space " + std::string(space.facts().name) +
                  " names no edge and operation in each choice of a cell, expected another one");
    // A genotype may order a node's inputs by their weights: of equal ones cells are the same.
    cells_.push_back(space.derive(rows_of(drawn), none));
    first_.push_back(first.try_emplace(cells_.back().genotype, number).first->second);
  }
}

int SampledSelection::evaluations(int cell) const {
  return first_.at(static_cast<std::size_t>(cell)) == cell ? 1 : 0;
}

EdgeWeights SampledSelection::theta_of(const Architecture& cell) const {
  EdgeWeights theta = start_;
  for (std::vector<double>& row : theta) std::fill(row.begin(), row.end(), 0.0);
  for (const ThetaEntry& entry : entries_of(cell, space_, none_)) {
    const std::vector<double>& before = start_.at(entry.edge);
    std::vector<double>& row = theta.at(entry.edge);
    const bool weighted = row.size() > operations_;
    row.at(entry.operation) = weighted ? before.back() : 1;
    if (weighted) row.back() = before.back();
  }
  return theta;
}

EdgeWeights SampledSelection::rows_of(const Architecture& cell) const {
  EdgeWeights rows = theta_of(cell);
  for (std::vector<double>& row : rows) row.resize(operations_);
  return rows;
}

std::optional<SelectionLine> SampledSelection::next(const Evaluate& evaluate) {
  const Architecture& cell = cells_.at(static_cast<std::size_t>(done_));
  nlohmann::ordered_json json = {
      {"decision", done_ + 1}, {"of", decisions()}, {"kind", "cell"}, {"cell", cell.genotype}};
  SelectionLine line;
  if (evaluations(done_) == 0) {
    json["same_as"] = first_.at(static_cast<std::size_t>(done_)) + 1;
  } else {
    const std::optional<SelectionProbe> probe = evaluate(theta_of(cell));
    if (!probe) return {};
    json["val_top1"] = probe->top1;
    json["val_loss"] = probe->loss;
    const bool better = probe->top1 > top1_ || (probe->top1 == top1_ && probe->loss < loss_);
    if (done_ == 0 || better) {
      best_ = done_;
      top1_ = probe->top1;
      loss_ = probe->loss;
      char accuracy[32];
      std::snprintf(accuracy, sizeof accuracy, "%.2f %%", top1_);
      line.summary = std::string(accuracy) + ", the best so far: " + cell.genotype;
    }
  }
  ++done_;
  line.json = json.dump();
  return line;
}

void SampledSelection::archive(StateArchive& a) {
  int cells = decisions();
  a.value("sampled.cells", cells);
  a.value("sampled.done", done_);
  a.value("sampled.best", best_);
  a.value("sampled.top1", top1_);
  a.value("sampled.loss", loss_);
  if (cells != decisions())
    throw Error(a.path().string() + ": its selection was begun with --select-cells " +
                std::to_string(cells) + ", expected the same");
  if (done_ > cells || best_ >= std::max(done_, 1))
    throw Error(a.path().string() + ": its selection stands at cell " + std::to_string(done_) +
                ", the best being " + std::to_string(best_ + 1) + ", expected at most the " +
                std::to_string(cells) + " of --select-cells");
}

}  // namespace drnas
