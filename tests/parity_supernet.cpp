// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <span>

#include "engine/safetensors.h"
#include "kernels/dirichlet_math.h"
#include "nas/trainer.h"
#include "tests/parity.h"

namespace drnas::parity {
namespace {

/// Channels first (activations NCHW, convolutions OIHW) -> channels last; other ranks as they are.
std::vector<float> channels_last(const SafetensorsFile& file, const std::string& name) {
  const std::vector<float> in = file.values<float>(name);
  const std::vector<std::int64_t>& shape = file.at(name).shape;
  if (shape.size() != 4) return in;
  const std::int64_t n = shape[0], c = shape[1], pixels = shape[2] * shape[3];
  std::vector<float> out(in.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < c; ++k)
      for (std::int64_t p = 0; p < pixels; ++p)
        out[(i * pixels + p) * c + k] = in[(i * c + k) * pixels + p];
  return out;
}

double norm(std::span<const float> values) {
  double squares = 0;
  for (float v : values) squares += static_cast<double>(v) * v;
  return std::sqrt(squares);
}

template <class T>
double relative_error(std::span<const T> out, const std::vector<float>& reference,
                      double least_norm = 0) {
  if (out.size() != reference.size())
    throw Error("parity: a tensor has another size than its reference");
  double squares = 0;
  for (std::size_t i = 0; i < out.size(); ++i)
    squares += std::pow(static_cast<double>(out[i]) - reference[i], 2);
  return std::sqrt(squares) / std::max({norm(reference), least_norm, 1e-30});
}

template <class T>
std::span<const T> values_of(const Tensor& t) {
  return {t.data<T>(), static_cast<std::size_t>(t.elements())};
}

/// Mixing weights that are given, with the exact Dirichlet derivative at that point.
class GivenTheta final : public MixingDistribution {
 public:
  explicit GivenTheta(ArchitectureParameters parameters)
      : MixingDistribution(std::move(parameters)),
        theta_(make_table()),
        gradient_beta(make_table()) {}

  void set(const std::vector<float>& theta) {
    std::copy(theta.begin(), theta.end(), theta_.data<double>());
  }
  std::string name() const override { return "given"; }
  const Tensor& sample(std::uint32_t) override { return theta_; }
  void backward(const Tensor& dtheta) override {
    for (int e = 0; e < parameters_.edges; ++e) differentiate_row(e, dtheta);
  }
  std::vector<std::vector<double>> mean() const override { return table(theta_); }
  std::vector<std::vector<double>> concentrations() const override {
    return table(parameters_.alpha);
  }
  void add_kl_gradient(double) override {}

 private:
  void differentiate_row(int e, const Tensor& dtheta) {
    const int ops = parameters_.ops;
    const double *x = theta_.data<double>() + e * ops, *g = dtheta.data<double>() + e * ops,
                 *alpha = parameters_.alpha.data<double>() + e * ops;
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
      const double dbeta = d * (g[i] - weighted);
      gradient_beta.data<double>()[e * ops + i] = dbeta;
      parameters_.gradient.data<double>()[e * ops + i] =
          dbeta * kernels::concentration_slope(alpha[i], beta);
    }
  }

  Tensor theta_;

 public:
  Tensor gradient_beta;
};

class Replay {
 public:
  explicit Replay(const std::filesystem::path& path)
      : file_(path),
        supernet_({number("c"), number("n"), number("classes"), number("k")}, 0),
        given_({Nb201Supernet::edges, Nb201Supernet::ops, 0, Device::cpu}) {
    if (file_.metadata_at("space") != "nas-bench-201")
      throw Error(path.string() + ": space " + file_.metadata_at("space") +
                  ", expected nas-bench-201");
    for (const NamedSlice& p : supernet_.parameters().parameters()) {
      const std::vector<float> values = channels_last(file_, "init." + p.name);
      if (static_cast<std::int64_t>(values.size()) != p.shape.elements())
        throw Error(path.string() + ": init." + p.name + " has another size than " +
                    to_string(p.shape));
      std::copy(values.begin(), values.end(), supernet_.parameters().weights().data() + p.offset);
    }
  }

  Errors run() {
    one_pass();
    if (file_.contains("trace.alpha0")) trace();
    return errors_;
  }

 private:
  int number(const char* key) const {
    try {
      return std::stoi(file_.metadata_at(key));
    } catch (const std::logic_error&) {
      throw Error(file_.path().string() + ": metadata " + key + " is no number");
    }
  }

  template <class T>
  void compare(const std::string& group, std::span<const T> out, const std::string& name,
               double least_norm = 0) {
    double& worst = errors_[group];
    worst = std::max(worst, relative_error(out, channels_last(file_, name), least_norm));
  }
  void compare(const std::string& group, double out, const std::string& name) {
    compare(group, std::span<const double>(&out, 1), name);
  }

  DeviceBatch batch(const std::string& prefix) const {
    const auto targets = file_.values<std::int64_t>(prefix + "target");
    const std::vector<std::int32_t> labels(targets.begin(), targets.end());
    return {channels_last(file_, prefix + "input"), labels,
            static_cast<int>(file_.at(prefix + "input").shape[2]), Device::cpu};
  }

  void compare_slices(const std::string& group, const std::string& prefix,
                      const std::vector<NamedSlice>& slices, const Tensor& buffer,
                      double least_norm = 0) {
    for (const NamedSlice& s : slices)
      compare(group,
              std::span<const float>(buffer.data() + s.offset,
                                     static_cast<std::size_t>(s.shape.elements())),
              prefix + s.name, least_norm);
  }

  void one_pass() {
    const ParameterStore& store = supernet_.parameters();
    const DeviceBatch given = batch("");
    given_.set(file_.values<float>("theta"));
    const Tensor gradient =
        Tensor::zeros(given_.sample(0).shape(), MemoryTag::optimizer, Device::cpu, DType::f64);
    Tape tape;
    const Variable theta(given_.sample(0), gradient, "theta");
    const Variable logits = supernet_.forward(tape, Variable(given.images), theta, true);
    const LossResult loss = cross_entropy(tape, "loss", logits, given.labels);
    compare("logits", values_of<float>(logits.value()), "logits");
    compare("loss", loss.result.loss, "loss");
    std::vector<Variable> wanted = supernet_.leaves();
    wanted.push_back(theta);
    tape.backward(loss.loss, wanted);
    double squares = 0;
    for (const NamedSlice& p : store.parameters())
      squares += std::pow(norm(file_.values<float>("grad." + p.name)), 2);
    compare_slices("grad", "grad.", store.parameters(), store.gradients(),
                   1e-3 * std::sqrt(squares));
    compare("grad.theta", values_of<double>(gradient), "grad.theta");
    compare_slices("after", "after.", store.statistics(), store.statistics_buffer());
    Tape quiet(Device::cpu, false);
    compare(
        "eval_logits",
        values_of<float>(supernet_.forward(quiet, Variable(given.images), theta, false).value()),
        "eval_logits");
  }

  void trace() {
    ArchitectureParameters& alpha = given_.parameters();
    const std::vector<float> start = file_.values<float>("trace.alpha0");
    std::copy(start.begin(), start.end(), alpha.alpha.data<double>());
    TrainerOptions options;
    options.grad_clip = std::stod(file_.metadata_at("clip"));
    options.clip_with_alpha = false;
    Trainer trainer(supernet_, given_, options);
    std::vector<double> losses;
    for (int step = 0; step < number("steps"); ++step) {
      const std::string prefix = "trace." + std::to_string(step) + ".";
      given_.set(file_.values<float>(prefix + "arch_theta"));
      losses.push_back(trainer.architecture_step(batch(prefix + "arch_")).loss);
      compare("trace.grad_theta", values_of<double>(trainer.theta_gradient()),
              prefix + "grad_theta");
      compare("trace.grad_beta", values_of<double>(given_.gradient_beta), prefix + "grad_beta");
      compare("trace.grad_alpha", values_of<double>(alpha.gradient), prefix + "grad_alpha");
      compare("trace.alpha", values_of<double>(alpha.alpha), prefix + "alpha");
      given_.set(file_.values<float>(prefix + "weight_theta"));
      const StepResult weight = trainer.weight_step(batch(prefix + "weight_"), 0.025);
      losses.push_back(weight.loss);
      compare("trace.grad_norm", weight.gradient_norm, prefix + "grad_norm");
    }
    compare("trace.losses", std::span<const double>(losses), "trace.losses");
    compare_slices("trace.final", "trace.final.", supernet_.parameters().parameters(),
                   supernet_.parameters().weights());
  }

  SafetensorsFile file_;
  Nb201Supernet supernet_;
  GivenTheta given_;
  Errors errors_;
};

}  // namespace

Errors replay_supernet(const std::filesystem::path& file) { return Replay(file).run(); }

}  // namespace drnas::parity
