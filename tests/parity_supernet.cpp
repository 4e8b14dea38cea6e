// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "engine/stream.h"
#include "kernels/dirichlet_math.h"
#include "nas/trainer.h"
#include "tests/parity.h"
#include "tests/parity_reference.h"

namespace drnas::parity {
namespace {

double norm(std::span<const float> values) {
  double squares = 0;
  for (float v : values) squares += static_cast<double>(v) * v;
  return std::sqrt(squares);
}

template <class T>
double relative_error(std::span<const T> out, const std::vector<float>& reference,
                      double least_norm = 0) {
  double squares = 0;
  for (std::size_t i = 0; i < out.size(); ++i)
    squares += std::pow(static_cast<double>(out[i]) - reference[i], 2);
  return std::sqrt(squares) / std::max({norm(reference), least_norm, 1e-30});
}

/// Mixing weights that are given, with the exact Dirichlet derivative at that point.
class GivenTheta final : public MixingDistribution {
 public:
  explicit GivenTheta(ArchitectureParameters parameters)
      : MixingDistribution(std::move(parameters)),
        theta_(make_table()),
        gradient_beta(make_table()) {}

  void set(const std::vector<float>& theta) {
    upload<double>(std::vector<double>(theta.begin(), theta.end()), theta_);
  }
  std::string name() const override { return "given"; }
  const Tensor& draw(const std::uint32_t*) override { return theta_; }
  void backward(const Tensor& dtheta) override {
    const auto x = download<double>(theta_), g = download<double>(dtheta),
               alpha = download<double>(parameters_.alpha);
    std::vector<double> dbeta(x.size()), dalpha(x.size());
    for (int e = 0; e < parameters_.edges; ++e) {
      const std::ptrdiff_t row = std::ptrdiff_t{e} * parameters_.ops;
      differentiate_row(&x[row], &g[row], &alpha[row], &dbeta[row], &dalpha[row]);
    }
    upload<double>(dbeta, gradient_beta);
    upload<double>(dalpha, parameters_.gradient);
  }
  std::vector<std::vector<double>> mean() const override { return table(theta_); }
  std::vector<std::vector<double>> concentrations() const override {
    return table(parameters_.alpha);
  }
  void add_kl_gradient(double) override {}

 private:
  void differentiate_row(const double* x, const double* g, const double* alpha, double* dbeta,
                         double* dalpha) const {
    const int ops = parameters_.ops;
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
  Tensor gradient_beta;
};

class Replay {
 public:
  Replay(const std::filesystem::path& path, Device device, DType storage)
      : file_(path),
        device_(device),
        supernet_({.channels = file_.channels(),
                   .cells = file_.cells(),
                   .classes = file_.classes(),
                   .partial_channels = file_.partial_channels(),
                   .storage = storage},
                  0, device),
        given_({Nb201Supernet::edges, Nb201Supernet::ops, 0, device}) {
    const ParameterStore& store = supernet_.parameters();
    std::vector<float> weights_start = download<float>(store.weights());
    for (const NamedSlice& p : store.parameters()) {
      const std::vector<float> values = file_.values("init." + p.name, p.shape.elements());
      std::copy(values.begin(), values.end(), weights_start.begin() + p.offset);
    }
    upload<float>(weights_start, store.weights());
    const std::set<std::string> weights = names_of(store.parameters());
    file_.expect_only("init.", weights);
    file_.expect_only("trace.final.", weights);
    file_.expect_only("after.", names_of(store.statistics()));
    std::set<std::string> gradients = weights;
    gradients.insert("theta");
    file_.expect_only("grad.", gradients);
  }

  Errors run() {
    one_pass();
    if (file_.contains("trace.alpha0")) trace();
    return errors_;
  }

 private:
  static constexpr int table_size = Nb201Supernet::edges * Nb201Supernet::ops;

  static std::set<std::string> names_of(const std::vector<NamedSlice>& slices) {
    std::set<std::string> names;
    for (const NamedSlice& s : slices) names.insert(s.name);
    return names;
  }

  template <class T>
  void compare(const std::string& group, std::span<const T> out, const std::string& name,
               double least_norm = 0) {
    const auto reference = file_.values(name, static_cast<std::int64_t>(out.size()));
    keep_worst(errors_[group], relative_error(out, reference, least_norm));
  }
  void compare(const std::string& group, double out, const std::string& name) {
    compare(group, std::span<const double>(&out, 1), name);
  }

  template <class T>
  void compare_tensor(const std::string& group, const Tensor& out, const std::string& name) {
    const std::vector<T> values = download<T>(out);
    compare(group, std::span<const T>(values), name);
  }

  DeviceBatch batch(const std::string& prefix) const {
    const ReferenceFile::Batch b = file_.batch(prefix);
    return {b.images, b.labels, b.size, device_};
  }
  void give(const std::string& theta) { given_.set(file_.values(theta, table_size)); }

  void compare_slices(const std::string& group, const std::string& prefix,
                      const std::vector<NamedSlice>& slices, const Tensor& buffer,
                      double least_norm = 0) {
    const std::vector<float> values = download<float>(buffer);
    for (const NamedSlice& s : slices)
      compare(group,
              std::span<const float>(values.data() + s.offset,
                                     static_cast<std::size_t>(s.shape.elements())),
              prefix + s.name, least_norm);
  }

  /// All slices as one vector.
  void compare_all(const std::string& group, const std::string& prefix,
                   const std::vector<NamedSlice>& slices, const Tensor& buffer) {
    const std::vector<float> values = download<float>(buffer);
    std::vector<float> out, reference;
    for (const NamedSlice& s : slices) {
      const auto first = values.begin() + s.offset;
      out.insert(out.end(), first, first + s.shape.elements());
      const std::vector<float> slice = file_.values(prefix + s.name, s.shape.elements());
      reference.insert(reference.end(), slice.begin(), slice.end());
    }
    keep_worst(errors_[group], relative_error(std::span<const float>(out), reference));
  }

  void one_pass() {
    const ParameterStore& store = supernet_.parameters();
    const DeviceBatch given = batch("");
    give("theta");
    const Tensor gradient =
        Tensor::zeros(given_.sample(0).shape(), MemoryTag::optimizer, device_, DType::f64);
    Tape tape(device_);
    const Variable theta(given_.sample(0), gradient, "theta");
    const Variable logits = supernet_.forward(tape, Variable(given.images), theta, true);
    const LossResult loss = cross_entropy(tape, "loss", logits, given.labels);
    compare_tensor<float>("logits", logits.value(), "logits");
    compare("loss", loss.read().loss, "loss");
    std::vector<Variable> wanted = supernet_.leaves();
    wanted.push_back(theta);
    tape.backward(loss.loss, wanted);
    double squares = 0;
    for (const NamedSlice& p : store.parameters())
      squares += std::pow(norm(file_.values("grad." + p.name, p.shape.elements())), 2);
    compare_slices("grad", "grad.", store.parameters(), store.gradients(),
                   1e-3 * std::sqrt(squares));
    compare_all("grad.overall", "grad.", store.parameters(), store.gradients());
    compare_tensor<double>("grad.theta", gradient, "grad.theta");
    compare_slices("after", "after.", store.statistics(), store.statistics_buffer());
    Tape quiet(device_, false);
    compare_tensor<float>("eval_logits",
                          supernet_.forward(quiet, Variable(given.images), theta, false).value(),
                          "eval_logits");
  }

  void trace() {
    ArchitectureParameters& alpha = given_.parameters();
    const std::vector<float> start = file_.values("trace.alpha0", table_size);
    upload<double>(std::vector<double>(start.begin(), start.end()), alpha.alpha);
    TrainerOptions options;
    options.grad_clip = file_.clip();
    options.clip_with_alpha = false;
    options.capture = false;  // the given derivative is computed on the host
    Trainer trainer(supernet_, given_, options);
    std::vector<double> losses;
    for (int step = 0; step < file_.steps(); ++step) {
      const std::string prefix = "trace." + std::to_string(step) + ".";
      give(prefix + "arch_theta");
      losses.push_back(trainer.architecture_step(batch(prefix + "arch_")).loss);
      compare_tensor<double>("trace.grad_theta", trainer.theta_gradient(), prefix + "grad_theta");
      compare_tensor<double>("trace.grad_beta", given_.gradient_beta, prefix + "grad_beta");
      compare_tensor<double>("trace.grad_alpha", alpha.gradient, prefix + "grad_alpha");
      compare_tensor<double>("trace.alpha", alpha.alpha, prefix + "alpha");
      give(prefix + "weight_theta");
      const StepResult weight = trainer.weight_step(batch(prefix + "weight_"), 0.025);
      losses.push_back(weight.loss);
      compare("trace.grad_norm", weight.gradient_norm, prefix + "grad_norm");
    }
    compare("trace.losses", std::span<const double>(losses), "trace.losses");
    compare_slices("trace.final", "trace.final.", supernet_.parameters().parameters(),
                   supernet_.parameters().weights());
  }

  ReferenceFile file_;
  Device device_;
  Nb201Supernet supernet_;
  GivenTheta given_;
  Errors errors_;
};

}  // namespace

Errors replay_supernet(const std::filesystem::path& file, Device device, DType storage) {
  return Replay(file, device, storage).run();
}

}  // namespace drnas::parity
