// SPDX-License-Identifier: MIT
#include "nas/diagnostics/evidence.h"

#include <algorithm>
#include <cmath>

#include "engine/stream.h"

namespace drnas {
namespace {

constexpr std::uint32_t first_expectation_draw = 0xbfffffffu;

std::vector<double> flat(const std::vector<std::vector<double>>& rows) {
  std::vector<double> values;
  for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
  return values;
}

/// Entries of theta that are not pruned, and the rows they belong to.
struct ActiveEntries {
  std::vector<int> index;
  SimplexRows rows;

  explicit ActiveEntries(const Alpha& p) {
    const std::vector<std::uint8_t> kept = p.kept_entries();
    rows.rows = p.edges;
    for (int i = 0; i < p.edges * p.ops; ++i) {
      if (!kept[static_cast<std::size_t>(i)]) continue;
      index.push_back(i);
      rows.row.push_back(i / p.ops);
    }
  }
  std::vector<double> of(const std::vector<double>& all) const {
    std::vector<double> values;
    for (const int i : index) values.push_back(all[static_cast<std::size_t>(i)]);
    return values;
  }
};

LossExpectation mean_and_deviation(const std::vector<double>& losses) {
  LossExpectation e;
  e.samples = static_cast<int>(losses.size());
  for (const double loss : losses) e.mean += loss / e.samples;
  double squares = 0;
  for (const double loss : losses) squares += (loss - e.mean) * (loss - e.mean);
  if (e.samples > 1) e.deviation = std::sqrt(squares / (e.samples - 1));
  return e;
}

}  // namespace

Evidence::Evidence(EvidenceOptions options, const SearchSpace& space, bool none,
                   const AccuracyTable* table)
    : options_(std::move(options)), space_(space), none_(none), table_(table) {}

std::optional<Warning> Evidence::recall(const std::vector<EpochSigns>& epochs) {
  Verdict last;
  for (const EpochSigns& signs : epochs) last = judge(signs);
  return std::move(last.ending);
}

std::optional<HessianRecord> Evidence::take_hessian(std::int64_t epoch, SupernetTrainer& trainer,
                                                    Law& law, const DeviceBatch& batch,
                                                    const Tick& tick) const {
  const HessianOptions& o = options_.hessian;
  const ActiveEntries active(law.alpha());
  const std::vector<double> mean = flat(law.mean());
  const int columns = static_cast<int>(active.index.size());
  const int draws = law.is_dirichlet() ? o.samples : 0;
  const Objective loss = [&](std::span<const double> theta, std::vector<double>* gradient) {
    return trainer.probe(batch, theta, gradient);
  };
  HessianRecord r;
  r.batch = static_cast<int>(batch.labels.elements());
  r.step = o.step;
  r.parameters = columns;
  std::vector<double> gradient;
  r.loss = loss(mean, &gradient);
  const std::optional<Matrix> h = hessian(loss, mean, active.index, o.step, [&](int done) {
    return tick(2 * done, 2 * columns + draws);
  });
  if (!h || !is_finite(*h)) return {};
  const Matrix of_mu = softmax_hessian(*h, active.of(gradient), active.of(mean), active.rows);
  r.theta = curvature(*h);
  r.mu = curvature(of_mu);
  if (!law.is_dirichlet()) return r;
  r.bound = loss_bound(r.loss, of_mu, active.rows, active.of(flat(law.concentrations())));
  std::vector<double> losses;
  for (int i = 0; i < draws; ++i) {
    const auto draw = first_expectation_draw - static_cast<std::uint32_t>(epoch * draws + i);
    losses.push_back(loss(flat(law.sampled(draw)), nullptr));
    if (!tick(2 * columns + i + 1, 2 * columns + draws)) return {};
  }
  r.expectation = mean_and_deviation(losses);
  return r;
}

bool Evidence::measure(std::int64_t epoch, SupernetTrainer& trainer, Law& law,
                       const Architecture& chosen, BatchSource& evaluation, const Tick& tick,
                       EvidenceRecord& record) {
  if (options_.trajectory > 0) {
    const Stopwatch watch;
    record.trajectory =
        sample_trajectory(law, space_, none_, chosen, table_, options_.trajectory, epoch);
    record.trajectory_seconds = watch.seconds();
  }
  if (options_.hessian.every == 0 || epoch % options_.hessian.every != 0) return true;
  const Stopwatch watch;
  evaluation.seek(0);
  bool goes_on = true;
  const Tick watched = [&](std::int64_t done, std::int64_t passes) {
    return goes_on = tick(done, passes);
  };
  record.hessian = take_hessian(epoch, trainer, law, evaluation.next(), watched);
  record.hessian_seconds = watch.seconds();
  if (goes_on && !record.hessian)
    record.warnings.push_back("Hessian: an entry is not finite, left out of this epoch");
  return goes_on;
}

Verdict Evidence::judge(const EpochSigns& signs) {
  const std::vector<Alarm>& stop_on = options_.stop_on;
  Verdict verdict;
  for (const Warning& warning : warnings_.observe(signs)) {
    verdict.warnings.push_back(warning.text);
    const bool acts = std::find(stop_on.begin(), stop_on.end(), warning.alarm) != stop_on.end();
    if (acts && !verdict.ending) verdict.ending = warning;
  }
  return verdict;
}

}  // namespace drnas
