// SPDX-License-Identifier: MIT
#include <cmath>
#include <span>

#include "kernels/alpha/dirichlet_math.h"
#include "nas/method/alpha_rule.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "nas/step/supernet_trainer.h"
#include "tests/parity/parity_compare.h"

namespace drnas::parity {
namespace {

/// Mixing weights that are given, with the exact Dirichlet derivative at that point.
class GivenTheta final : public Law {
 public:
  explicit GivenTheta(Alpha alpha)
      : Law(std::move(alpha)), gradient_beta(alpha_.make_table()), theta_(alpha_.make_table()) {}

  void set(const std::vector<float>& theta) {
    upload<double>(std::vector<double>(theta.begin(), theta.end()), theta_);
  }
  const Tensor& draw(const std::uint32_t*) override { return theta_; }
  void backward(const Tensor& dtheta) override {
    const auto x = download<double>(theta_), g = download<double>(dtheta),
               values = download<double>(alpha_.values);
    std::vector<double> dbeta(x.size()), dalpha(x.size());
    for (int e = 0; e < alpha_.edges; ++e) {
      const std::ptrdiff_t row = std::ptrdiff_t{e} * alpha_.ops;
      differentiate_row(&x[row], &g[row], &values[row], &dbeta[row], &dalpha[row]);
    }
    upload<double>(dbeta, gradient_beta);
    upload<double>(dalpha, alpha_.gradient);
  }
  std::vector<std::vector<double>> mean() const override { return alpha_.rows(theta_); }
  std::vector<std::vector<double>> concentrations() const override {
    return alpha_.rows(alpha_.values);
  }

  Tensor gradient_beta;

 private:
  void differentiate_row(const double* x, const double* g, const double* alpha, double* dbeta,
                         double* dalpha) const {
    const int ops = alpha_.ops;
    double total = 0, weighted = 0;
    for (int i = 0; i < ops; ++i) {
      total += kernels::concentration_of(alpha[i]);
      weighted += x[i] * g[i];
    }
    for (int i = 0; i < ops; ++i) {
      const double beta = kernels::concentration_of(alpha[i]);
      double rest = 0;
      for (int j = 0; j < ops; ++j) rest += j == i ? 0.0 : x[j];
      const double d =
          kernels::dirichlet_derivative(x[i], rest, std::log(x[i]), beta, total - beta);
      dbeta[i] = d * (g[i] - weighted);
      dalpha[i] = dbeta[i] * kernels::concentration_slope(alpha[i], beta);
    }
  }

  Tensor theta_;

 public:
};

class Replay : private Comparison {
 public:
  Replay(const std::filesystem::path& path, const Setting& setting)
      : Comparison(path, setting),
        device_(setting.device),
        supernet_({.channels = file().channels(),
                   .cells = file().check_nb201(),
                   .classes = file().classes(),
                   .partial_channels = file().partial_channels(),
                   .storage = setting.storage},
                  0, device_),
        given_({Nb201Supernet::edges, Nb201Supernet::ops, 0, device_}) {
    start(supernet_.parameters(), {"theta"});
  }

  Errors run() {
    one_pass();
    if (file().contains("trace.alpha0")) trace();
    return errors();
  }

 private:
  static constexpr int table_size = Nb201Supernet::edges * Nb201Supernet::ops;

  void give(const std::string& theta) { given_.set(file().values(theta, table_size)); }

  void one_pass() {
    const ParameterStore& store = supernet_.parameters();
    const DeviceBatch given = batch("");
    give("theta");
    const Tensor gradient =
        Tensor::zeros(given_.sample(0).shape(), MemoryTag::optimizer, device_, DType::f64);
    const Variable theta(given_.sample(0), gradient, "theta");
    compare_pass(supernet_, theta, true);
    compare_tensor<double>("grad.theta", gradient, "grad.theta");
    compare_slices("after", "after.", store.statistics(), store.statistics_buffer());
    Tape quiet(device_, false);
    compare_tensor<float>("eval_logits",
                          supernet_.forward(quiet, Variable(given.images), theta, false).value(),
                          "eval_logits");
  }

  void trace() {
    const Alpha& alpha = given_.alpha();
    const std::vector<float> start = file().values("trace.alpha0", table_size);
    upload<double>(std::vector<double>(start.begin(), start.end()), alpha.values);
    TrainerOptions options;
    options.grad_clip = file().clip();
    options.clip_with_alpha = false;
    options.capture = false;  // the given derivative is computed on the host
    const auto rule = make_adam_rule(given_, {});
    SupernetTrainer trainer(supernet_, given_, rule.get(), options);
    trainer.set_learning_rate(0.025);
    std::vector<double> losses;
    for (int step = 0; step < file().steps(); ++step) {
      const std::string prefix = "trace." + std::to_string(step) + ".";
      give(prefix + "arch_theta");
      losses.push_back(trainer.run(passes::architecture, batch(prefix + "arch_")).loss);
      compare_tensor<double>("trace.grad_theta", trainer.theta_gradient(), prefix + "grad_theta");
      compare_tensor<double>("trace.grad_beta", given_.gradient_beta, prefix + "grad_beta");
      compare_tensor<double>("trace.grad_alpha", alpha.gradient, prefix + "grad_alpha");
      compare_tensor<double>("trace.alpha", alpha.values, prefix + "alpha");
      give(prefix + "weight_theta");
      const StepResult weight = trainer.run(passes::weights, batch(prefix + "weight_"));
      losses.push_back(weight.loss);
      compare("trace.grad_norm", weight.gradient_norm, prefix + "grad_norm");
    }
    compare("trace.losses", std::span<const double>(losses), "trace.losses");
    compare_slices("trace.final", "trace.final.", supernet_.parameters().parameters(),
                   supernet_.parameters().weights());
  }

  Device device_;
  Nb201Supernet supernet_;
  GivenTheta given_;
};

}  // namespace

Errors replay_supernet(const std::filesystem::path& file, const Setting& setting) {
  return Replay(file, setting).run();
}

}  // namespace drnas::parity
