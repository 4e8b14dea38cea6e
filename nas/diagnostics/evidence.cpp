// SPDX-License-Identifier: MIT
#include "nas/diagnostics/evidence.h"

#include <algorithm>
#include <cmath>

#include "engine/stream.h"
#include "nas/run/run_resources.h"
#include "nas/search/search_inputs.h"

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

  explicit ActiveEntries(const ArchitectureParameters& p) {
    const std::vector<std::uint8_t> kept =
        p.mask.empty()
            ? std::vector<std::uint8_t>(static_cast<std::size_t>(p.edges * p.ops), std::uint8_t{1})
            : download<std::uint8_t>(p.mask);
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

Evidence::Evidence(const SearchOptions& options, const SearchSpace& space, const Nb201Table* table)
    : space_(space),
      none_(options.none_op),
      dirichlet_(options.method == "drnas"),
      ranking_(architecture_ranking(options)),
      table_(table),
      trajectory_(options.trajectory),
      hessian_(parse_hessian(options.hessian)),
      stop_on_(parse_alarms(options.stop_on)) {}

void Evidence::recall(const std::filesystem::path& log) {
  for (const EpochSigns& signs : logged_signs(log, space_)) warnings_.observe(signs);
}

std::optional<HessianRecord> Evidence::take_hessian(std::int64_t epoch, Trainer& trainer,
                                                    MixingDistribution& distribution,
                                                    const DeviceBatch& batch,
                                                    const Tick& tick) const {
  const ActiveEntries active(distribution.parameters());
  const std::vector<double> mean = flat(distribution.mean());
  const int columns = static_cast<int>(active.index.size());
  const int draws = dirichlet_ ? hessian_.samples : 0;
  const Objective loss = [&](std::span<const double> theta, std::vector<double>* gradient) {
    return trainer.probe(batch, theta, gradient);
  };
  HessianRecord r;
  r.batch = static_cast<int>(batch.labels.elements());
  r.step = hessian_.step;
  r.parameters = columns;
  std::vector<double> gradient;
  r.loss = loss(mean, &gradient);
  const std::optional<Matrix> h = hessian(loss, mean, active.index, hessian_.step, [&](int done) {
    return tick(2 * done, 2 * columns + draws);
  });
  if (!h || !is_finite(*h)) return {};
  const Matrix of_mu = softmax_hessian(*h, active.of(gradient), active.of(mean), active.rows);
  r.theta = curvature(*h);
  r.mu = curvature(of_mu);
  if (!dirichlet_) return r;
  r.bound = loss_bound(r.loss, of_mu, active.rows, active.of(flat(distribution.concentrations())));
  std::vector<double> losses;
  for (int i = 0; i < draws; ++i) {
    const auto draw = first_expectation_draw - static_cast<std::uint32_t>(epoch * draws + i);
    losses.push_back(loss(flat(distribution.sampled(draw)), nullptr));
    if (!tick(2 * columns + i + 1, 2 * columns + draws)) return {};
  }
  r.expectation = mean_and_deviation(losses);
  return r;
}

bool Evidence::measure(std::int64_t epoch, Trainer& trainer, MixingDistribution& distribution,
                       BatchSource& evaluation, const Tick& tick, EpochRecord& record) {
  if (trajectory_ > 0) {
    const Clock::time_point start = Clock::now();
    const Architecture chosen = space_.derive(distribution.ranked_by(ranking_), none_);
    record.trajectory =
        sample_trajectory(distribution, space_, none_, chosen, table_, trajectory_, epoch);
    record.seconds["trajectory"] = seconds_since(start);
  }
  if (hessian_.every == 0 || epoch % hessian_.every != 0) return true;
  const Clock::time_point start = Clock::now();
  evaluation.seek(0);
  bool goes_on = true;
  const Tick watched = [&](std::int64_t done, std::int64_t passes) {
    return goes_on = tick(done, passes);
  };
  record.hessian = take_hessian(epoch, trainer, distribution, evaluation.next(), watched);
  record.seconds["hessian"] = seconds_since(start);
  if (goes_on && !record.hessian)
    record.warnings.push_back("Hessian: an entry is not finite, left out of this epoch");
  return goes_on;
}

std::optional<Warning> Evidence::judge(EpochRecord& record) {
  const Architecture a = space_.parse(record.genotype, "genotype");
  std::optional<double> eigenvalue;
  if (record.hessian) eigenvalue = record.hessian->mu.eigenvalue;
  const EpochSigns signs{record.epoch, a.skips, a.places, record.val_loss, eigenvalue, a.genotype};
  std::optional<Warning> ending;
  for (const Warning& warning : warnings_.observe(signs)) {
    record.warnings.push_back(warning.text);
    const bool acts = std::find(stop_on_.begin(), stop_on_.end(), warning.alarm) != stop_on_.end();
    if (acts && !ending) ending = warning;
  }
  if (ending) {
    record.stopped_on = to_string(ending->alarm);
    record.good_epoch = ending->good_epoch;
  }
  return ending;
}

}  // namespace drnas
