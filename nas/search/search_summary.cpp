// SPDX-License-Identifier: MIT
// What an epoch of a search gives to TensorBoard.
#include <cmath>

#include "nas/search/search_events.h"

namespace drnas {
namespace {

bool is_kept(const std::vector<std::vector<bool>>& kept, std::size_t row, std::size_t op) {
  return kept.empty() || kept[row][op];
}

void add_curvature(const std::string& group, const Curvature& c, EventSummary& s) {
  s.scalar(group + "/eigenvalue", c.eigenvalue);
  s.scalar(group + "/norm", c.norm);
  s.scalar(group + "/trace", c.trace);
}

void add_trajectory(const TrajectoryRecord& t, EventSummary& s) {
  s.scalar("trajectory/distinct", t.distinct);
  s.scalar("trajectory/agreement", t.agreement);
  for (const auto& [name, q] : t.accuracy) {
    const std::string group = "trajectory_" + name;
    s.scalar(group + "/min", q.min);
    s.scalar(group + "/q1", q.q1);
    s.scalar(group + "/median", q.median);
    s.scalar(group + "/q3", q.q3);
    s.scalar(group + "/max", q.max);
  }
}

void add_hessian(const HessianRecord& h, EventSummary& s) {
  add_curvature("hessian_mu", h.mu, s);
  add_curvature("hessian_theta", h.theta, s);
  if (h.bound) s.scalar("hessian_loss/bound", h.bound->value());
  if (h.expectation) s.scalar("hessian_loss/expected", h.expectation->mean);
}

/// A histogram for each edge, of the operations that it keeps.
void add_concentrations(const EpochRecord& r, EventSummary& s) {
  for (std::size_t row = 0; row < r.concentrations.size(); ++row) {
    std::vector<double> values;
    for (std::size_t op = 0; op < r.concentrations[row].size(); ++op)
      if (is_kept(r.kept, row, op)) values.push_back(r.concentrations[row][op]);
    const std::string number = std::to_string(row);
    s.histogram("concentrations/edge_" + (number.size() < 2 ? "0" + number : number), values);
  }
}

}  // namespace

double mean_entropy(const std::vector<std::vector<double>>& concentrations,
                    const std::vector<std::vector<bool>>& kept) {
  double entropy = 0;
  for (std::size_t row = 0; row < concentrations.size(); ++row) {
    double sum = 0, weighted_logs = 0;
    for (std::size_t op = 0; op < concentrations[row].size(); ++op) {
      const double c = concentrations[row][op];
      if (!is_kept(kept, row, op) || !(c > 0)) continue;
      sum += c;
      weighted_logs += c * std::log(c);
    }
    // -sum p log p with p = c / sum.
    if (sum > 0) entropy += std::log(sum) - weighted_logs / sum;
  }
  return concentrations.empty() ? 0 : entropy / static_cast<double>(concentrations.size());
}

void summarize(const EpochRecord& r, EventSummary& s) {
  s.scalar("loss/train", r.train_loss);
  s.scalar("loss/val", r.val_loss);
  s.scalar("top1/train", r.train_top1);
  s.scalar("top1/val", r.val_top1);
  s.scalar("schedule/epoch", r.epoch);
  s.scalar("schedule/stage", r.stage);
  s.scalar("schedule/learning_rate", r.learning_rate);
  if (r.skip_dropout) s.scalar("schedule/skip_dropout", *r.skip_dropout);
  s.scalar("speed/images_per_second", r.images_per_second);
  s.scalar("speed/architecture_step_ms", r.architecture_step_ms);
  s.scalar("speed/weight_step_ms", r.weight_step_ms);
  s.peak(r.peak_bytes);
  s.scalar("architecture/mean_entropy", mean_entropy(r.concentrations, r.kept));
  if (r.expected_cost) s.scalar("architecture/expected_cost", *r.expected_cost);
  if (r.table) {
    s.scalar("table/cifar10", r.table->cifar10);
    s.scalar("table/cifar100", r.table->cifar100);
    s.scalar("table/imagenet16_120", r.table->imagenet16_120);
  }
  if (r.trajectory) add_trajectory(*r.trajectory, s);
  if (r.hessian) add_hessian(*r.hessian, s);
  add_concentrations(r, s);
  s.text("genotype", "`" + r.genotype + "`");
}

}  // namespace drnas
