// SPDX-License-Identifier: MIT
#include "nas/search/perturbation_selection.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "kernels/random/philox.h"

namespace drnas {
namespace {

/// Of the shuffling stream, whose steps are epochs: orders of edges and of nodes count down from
/// here, two for each kind of cell.
constexpr std::uint32_t first_order = 0xffffffffu;

/// 0 .. count - 1 in random order.
std::vector<int> random_order(std::size_t count, std::uint64_t seed, std::uint32_t step) {
  const kernels::RandomStream stream{seed, kernels::Purpose::shuffle};
  std::vector<int> order(count);
  for (std::uint32_t i = 0; i < count; ++i)
    order[stream.permuted(i, static_cast<std::uint32_t>(count), step)] = static_cast<int>(i);
  return order;
}

/// The removal of a hurts more than that of b: less accuracy, of equal ones the larger loss.
bool hurts_more(const SelectionProbe& a, const SelectionProbe& b) {
  return a.top1 != b.top1 ? a.top1 < b.top1 : a.loss > b.loss;
}

/// "normal 3" of the edge "normal 3<-1".
std::string node_of(const std::string& edge) { return edge.substr(0, edge.find("<-")); }

std::string percent(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", value);
  return text;
}

}  // namespace

std::string to_json(const SelectionDecision& d) {
  nlohmann::ordered_json json = {
      {"decision", d.number}, {"of", d.of},     {"kind", d.kind},
      {"place", d.place},     {"kept", d.kept}, {"without", nlohmann::ordered_json::array()}};
  for (const SelectionProbe& p : d.probes)
    json["without"].push_back({{"removed", p.removed}, {"val_top1", p.top1}, {"val_loss", p.loss}});
  return json.dump();
}

std::string summary_of(const SelectionDecision& d) {
  std::string text = d.kind == "operation" ? "edge " : "node ";
  text += d.place + " keeps ";
  for (const std::string& kept : d.kept) text += (&kept == d.kept.data() ? "" : ", ") + kept;
  double worst[2] = {INFINITY, INFINITY}, best[2] = {-INFINITY, -INFINITY};
  for (const SelectionProbe& p : d.probes) {
    const bool stays = std::find(d.kept.begin(), d.kept.end(), p.removed) != d.kept.end();
    worst[stays] = std::min(worst[stays], p.top1);
    best[stays] = std::max(best[stays], p.top1);
  }
  const auto range = [&](bool stays) {
    return worst[stays] == best[stays] ? percent(best[stays])
                                       : percent(worst[stays]) + " to " + percent(best[stays]);
  };
  if (d.probes.empty()) return text + ", the only one";
  return text + ": " + range(true) + " without, " + range(false) + " without others";
}

PerturbationSelection::PerturbationSelection(const SearchSpace& space, bool none, EdgeWeights theta,
                                             const std::vector<std::uint8_t>& kept,
                                             std::uint64_t seed)
    : space_(space),
      edges_(space.edges()),
      operations_(space.operations(none)),
      start_(std::move(theta)),
      kept_(kept),
      none_can_stay_(!space.facts().none_option),
      chosen_(edges_.size(), 0),
      dropped_(edges_.size(), 0) {
  add_rounds(seed);
}

void PerturbationSelection::add_rounds(std::uint64_t seed) {
  const std::vector<CellDecisions> cells = space_.decisions();
  std::vector<std::vector<int>> edge_orders, node_orders;
  for (const CellDecisions& cell : cells) {
    const auto step = static_cast<std::uint32_t>(2 * edge_orders.size());
    edge_orders.push_back(random_order(cell.edges.size(), seed, first_order - step));
    node_orders.push_back(random_order(cell.nodes.size(), seed, first_order - step - 1));
  }
  int round = 0;
  const auto add = [&](const std::vector<std::vector<int>>& orders, const auto& step_of) {
    std::size_t longest = 0;
    for (const auto& order : orders) longest = std::max(longest, order.size());
    for (std::size_t i = 0; i < longest; ++i, ++round)
      for (std::size_t cell = 0; cell < cells.size(); ++cell)
        if (i < orders[cell].size())
          plan_.push_back(step_of(cells[cell], static_cast<std::size_t>(orders[cell][i])));
  };
  add(edge_orders, [&](const CellDecisions& cell, std::size_t i) {
    return Step{round, cell.edges[i], {}, 0};
  });
  add(node_orders, [&](const CellDecisions& cell, std::size_t i) {
    return Step{round, -1, cell.nodes[i], cell.inputs};
  });
}

std::vector<int> PerturbationSelection::candidates(int edge) const {
  std::vector<int> all;
  const auto columns = static_cast<int>(operations_.size());
  for (int op = 0; op < columns; ++op) {
    const auto entry = static_cast<std::size_t>(edge * columns + op);
    const bool can_stay = none_can_stay_ || operations_[static_cast<std::size_t>(op)] != "none";
    if (can_stay && (kept_.empty() || kept_[entry] != 0)) all.push_back(op);
  }
  return all;
}

int PerturbationSelection::evaluations(int decision) const {
  const Step& step = plan_.at(static_cast<std::size_t>(decision));
  const std::size_t choices = step.edge < 0 ? step.inputs.size() : candidates(step.edge).size();
  return choices > 1 ? static_cast<int>(choices) : 0;
}

EdgeWeights PerturbationSelection::theta() const {
  EdgeWeights theta = start_;
  for (std::size_t edge = 0; edge < theta.size(); ++edge) {
    if (chosen_[edge] == 0) continue;
    std::vector<double>& row = theta[edge];
    const bool weighted = row.size() > operations_.size();
    const double weight = dropped_[edge] ? 0 : weighted ? row.back() : 1;
    std::fill(row.begin(), row.end(), 0.0);
    row.at(static_cast<std::size_t>(chosen_[edge] - 1)) = weight;
    if (weighted) row.back() = weight;
  }
  return theta;
}

EdgeWeights PerturbationSelection::found() const {
  EdgeWeights rows = theta();
  for (std::vector<double>& row : rows) row.resize(operations_.size());
  return rows;
}

std::optional<SelectionLine> PerturbationSelection::next(const Evaluate& evaluate) {
  const std::optional<SelectionDecision> decision = decide(evaluate);
  if (!decision) return {};
  return SelectionLine{to_json(*decision), summary_of(*decision)};
}

std::optional<SelectionDecision> PerturbationSelection::decide(const Evaluate& evaluate) {
  const Step& step = plan_.at(static_cast<std::size_t>(done_));
  std::optional<SelectionDecision> decision =
      step.edge < 0 ? decide_inputs(step, evaluate) : decide_operation(step, evaluate);
  if (!decision) return {};
  decision->number = ++done_;
  decision->of = decisions();
  return decision;
}

std::optional<SelectionDecision> PerturbationSelection::decide_operation(const Step& step,
                                                                         const Evaluate& evaluate) {
  const auto edge = static_cast<std::size_t>(step.edge);
  const std::vector<int> ops = candidates(step.edge);
  SelectionDecision decision{.kind = "operation", .place = edges_[edge]};
  int best = ops.empty() ? 0 : ops[0];
  std::optional<SelectionProbe> worst;
  for (const int op : ops) {
    if (ops.size() == 1) break;
    EdgeWeights theta = this->theta();
    theta[edge].at(static_cast<std::size_t>(op)) = 0;
    std::optional<SelectionProbe> probe = evaluate(theta);
    if (!probe) return {};
    probe->removed = operations_[static_cast<std::size_t>(op)];
    decision.probes.push_back(*probe);
    if (worst && !hurts_more(*probe, *worst)) continue;
    worst = probe;
    best = op;
  }
  chosen_[edge] = best + 1;
  decision.kept = {operations_[static_cast<std::size_t>(best)]};
  return decision;
}

std::optional<SelectionDecision> PerturbationSelection::decide_inputs(const Step& step,
                                                                      const Evaluate& evaluate) {
  SelectionDecision decision{.kind = "inputs",
                             .place = node_of(edges_[static_cast<std::size_t>(step.inputs[0])])};
  for (const int edge : step.inputs) {
    EdgeWeights theta = this->theta();
    auto& row = theta[static_cast<std::size_t>(edge)];
    std::fill(row.begin(), row.end(), 0.0);
    std::optional<SelectionProbe> probe = evaluate(theta);
    if (!probe) return {};
    probe->removed = edges_[static_cast<std::size_t>(edge)];
    decision.probes.push_back(*probe);
  }
  std::vector<std::size_t> order(step.inputs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return hurts_more(decision.probes[a], decision.probes[b]);
  });
  for (std::size_t i = static_cast<std::size_t>(step.keep); i < order.size(); ++i)
    dropped_[static_cast<std::size_t>(step.inputs[order[i]])] = 1;
  order.resize(static_cast<std::size_t>(step.keep));
  std::sort(order.begin(), order.end());
  for (const std::size_t i : order) decision.kept.push_back(decision.probes[i].removed);
  return decision;
}

void PerturbationSelection::archive(StateArchive& a) {
  a.value("select.done", done_);
  a.list("select.chosen", chosen_);
  a.list("select.dropped", dropped_);
  a.value("select.tuned", tuned);
  if (!a.loading()) return;
  const auto most = static_cast<std::int64_t>(operations_.size());
  const auto in = [](std::int64_t high) {
    return [high](std::int64_t v) { return v >= 0 && v <= high; };
  };
  if (done_ > decisions() || chosen_.size() != edges_.size() || dropped_.size() != edges_.size() ||
      !std::all_of(chosen_.begin(), chosen_.end(), in(most)) ||
      !std::all_of(dropped_.begin(), dropped_.end(), in(1)))
    throw Error(a.path().string() + ": its selection is not one of this search's " +
                std::to_string(decisions()) + " decisions on " + std::to_string(edges_.size()) +
                " edges");
}

}  // namespace drnas
