// SPDX-License-Identifier: MIT
// BayesNAS (Zhou et al., ICML 2019), a reimplementation: switches of operations and of whole edges,
// under a penalty whose weights follow from the loss's curvature. The most relevant ones stay.
#include <cmath>

#include "engine/memory/planning.h"
#include "engine/stream.h"
#include "kernels/alpha/mixing.h"
#include "nas/method/methods.h"
#include "nas/method/switches.h"

namespace drnas {

namespace {

/// Of the central differences, as that of --hessian: see HessianOptions::step.
constexpr double difference = 0.05;

/// Weights and switches of one batch; the switches move outside.
constexpr PassSetting joint{.name = "joint step of switches",
                            .weight_gradients = true,
                            .theta_gradient = true,
                            .update = PassUpdate::weights};

/// theta_o = s_o s_edge, theta_edge = s_edge; alpha holds s.
class SwitchLaw final : public Law {
 public:
  explicit SwitchLaw(Alpha alpha) : Law(std::move(alpha)) {
    const std::vector<double> ones(static_cast<std::size_t>(alpha_.values.elements()), 1.0);
    for (Tensor* t : {&theta_, &gamma, &omega, &curvature}) *t = alpha_.make_table();
    for (const Tensor* t : {&alpha_.values, &gamma, &omega}) upload<double>(ones, *t);
  }

  const Tensor& draw(const std::uint32_t*) override {
    weigh();
    return theta_;
  }
  void backward(const Tensor& dtheta) override {
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::weigh_edges_backward<D>(alpha_.edges, operations(), alpha_.values.data<double>(),
                                         dtheta.data<double>(), alpha_.gradient.data<double>(),
                                         compute_stream(D));
      });
    });
  }

  std::vector<std::vector<double>> mean() const override {
    weigh();
    return operation_rows(theta_);
  }
  /// What a cell is read off by.
  std::vector<std::vector<double>> concentrations() const override { return operation_rows(gamma); }
  std::vector<std::vector<double>> ranked_by(Ranking) const override { return concentrations(); }
  std::vector<double> edge_weights() const override {
    std::vector<double> weights;
    for (const std::vector<double>& row : alpha_.rows(alpha_.values)) weights.push_back(row.back());
    return weights;
  }

  Tensor gamma, omega, curvature;  ///< of alpha's shape: see laplace_step()

 protected:
  int operations() const override { return alpha_.ops - 1; }

 private:
  void weigh() const {
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::weigh_edges<D>(alpha_.edges, operations(), alpha_.values.data<double>(),
                                theta_.data<double>(), compute_stream(D));
      });
    });
  }

  Tensor theta_;
};

class BayesNas final : public SearchMethod, private AlphaUpdate {
 public:
  explicit BayesNas(const MethodOptions& o)
      : law_({o.edges, o.ops + 1, o.seed, o.device}),
        rate_(o.adam.learning_rate),
        grad_clip_(o.adam.grad_clip),
        lambda_(o.penalty) {
    evaluation_.norm = o.evaluation_norm;
  }

  Law& law() override { return law_; }
  AlphaUpdate& alpha_update() override { return *this; }
  PassSetting evaluation() const override { return evaluation_; }

  /// Every second epoch has the penalty.
  void begin_epoch(std::int64_t epoch) override { penalised_ = epoch % 2 == 1; }

  MethodResult step(const MethodStep& s) override {
    const DeviceBatch& batch = s.weight_batches.next();
    // A plan is for epochs of both kinds; this pass needs no less than the other.
    const bool learns = s.alpha_learns && penalised_;
    if (!learns && !planning()) return {s.trainer.run(passes::weights, batch), {}};
    const MethodResult result{s.trainer.run(joint, batch), {}};
    learn_switches(s.trainer);
    learnt_ = 1;
    return result;
  }

  bool end_epoch(const EpochEnd& e) override {
    if (learnt_ == 0) return true;
    const DeviceBatch& batch = e.alpha_batches.next();
    const int columns = law_.alpha().ops;
    const std::vector<double> switches = download<double>(law_.alpha().values);
    const SwitchGradient gradient = [&](std::span<const double> at) {
      std::vector<double> dtheta;
      e.trainer.probe(batch, switch_weights(columns, at), &dtheta);
      return switch_gradient(columns, at, dtheta);
    };
    const auto curvature = switch_curvature(gradient, switches, difference, e.tick);
    if (!curvature) return false;
    take_laplace_step(switches, *curvature);
    ++alpha_batches_;
    learnt_ = 0;
    return true;
  }
  std::int64_t alpha_batches_used() const override { return alpha_batches_; }

  /// `none` is no candidate of its own: it stands where nothing of an edge is left.
  Architecture choose(const SearchSpace& space, bool none) const override {
    std::vector<std::vector<double>> gamma = law_.concentrations();
    const std::vector<std::string> names = space.operations(none);
    for (std::size_t op = 0; op < names.size(); ++op)
      if (names[op] == "none")
        for (std::vector<double>& row : gamma) row[op] = 0;
    return space.derive(gamma, none);
  }
  std::vector<std::uint8_t> choose_kept(int) const override { return cannot_prune(); }
  void prune(const std::vector<std::uint8_t>&) override { cannot_prune(); }

  void archive(StateArchive& a) override {
    a.table("alpha", law_.alpha().values);
    a.table("switches.gamma", law_.gamma);
    a.table("switches.omega", law_.omega);
    a.table("switches.curvature", law_.curvature);
    a.value("switches.learnt", learnt_);
    a.value("alpha.batches", alpha_batches_);
  }

 private:
  /// Passes move weights alone.
  void update(const Tensor&, const Tensor&) override {
    throw Error("method: switches move after a pass, expected none that updates alpha");
  }
  static std::vector<std::uint8_t> cannot_prune() {
    throw Error("method: switches cannot be pruned, expected one stage");
  }

  /// Not where an entry is not finite: then relevance stays as it was.
  void take_laplace_step(const std::vector<double>& switches,
                         const std::vector<double>& curvature) {
    for (const double c : curvature)
      if (!std::isfinite(c)) return;
    std::vector<double> gamma = download<double>(law_.gamma), omega = download<double>(law_.omega);
    laplace_step(law_.alpha().ops, switches, curvature, lambda_, gamma, omega);
    upload<double>(curvature, law_.curvature);
    upload<double>(gamma, law_.gamma);
    upload<double>(omega, law_.omega);
  }

  /// From dL/dtheta of the last pass.
  void learn_switches(const SupernetTrainer& trainer) {
    const Alpha& alpha = law_.alpha();
    std::vector<double> switches = download<double>(alpha.values);
    std::vector<double> gradient =
        switch_gradient(alpha.ops, switches, download<double>(trainer.theta_gradient()));
    upload<double>(gradient, alpha.gradient);
    double squares = 0;
    for (const double g : gradient) squares += g * g;
    if (!planning() && !std::isfinite(squares))
      throw Error("architecture step: the gradient of the switches is not finite");
    const double norm = std::sqrt(squares);
    if (grad_clip_ > 0 && norm > grad_clip_)
      for (double& g : gradient) g *= grad_clip_ / norm;
    proximal_step(switches, gradient, penalty(switches, trainer.theta_cost()), rate_);
    upload<double>(switches, alpha.values);
  }
  /// Of each switch's size. A cost that is linear in theta is one of the sizes |s_o| |s_edge|.
  std::vector<double> penalty(std::vector<double> switches, const std::vector<double>& cost) const {
    std::vector<double> weights = download<double>(law_.omega);
    for (double& weight : weights) weight *= lambda_;
    if (cost.empty()) return weights;
    for (double& s : switches) s = std::abs(s);
    const std::vector<double> costs = switch_gradient(law_.alpha().ops, switches, cost);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] += costs[i];
    return weights;
  }

  SwitchLaw law_;
  double rate_, grad_clip_, lambda_;
  PassSetting evaluation_ = passes::evaluation;
  bool penalised_ = false;          // of the epoch that runs
  std::int64_t learnt_ = 0;         // 1: switches have moved since their curvature was taken
  std::int64_t alpha_batches_ = 0;  // that curvature was taken on
};

}  // namespace

const MethodInfo bayesnas_method{
    .name = "bayesnas",
    .summary = "switches kept by their relevance, a reimplementation",
    .draws_from_dirichlet = false,
    .stages = false,
    .edge_weights = true,
    .switches = true,
    .make = [](const MethodOptions& o) -> std::unique_ptr<SearchMethod> {
      return std::make_unique<BayesNas>(o);
    }};

}  // namespace drnas
