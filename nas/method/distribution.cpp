// SPDX-License-Identifier: MIT
#include "nas/method/distribution.h"

#include <cmath>
#include <numeric>

#include "engine/stream.h"
#include "kernels/alpha/dirichlet.h"
#include "kernels/alpha/softmax_rows.h"
#include "kernels/random/philox.h"

namespace drnas {
namespace {

constexpr double initial_deviation = 1e-3;

Shape table_shape(int edges, int ops) { return {1, 1, edges, ops}; }

class DirichletDistribution final : public MixingDistribution {
 public:
  DirichletDistribution(ArchitectureParameters parameters, std::uint64_t seed)
      : MixingDistribution(std::move(parameters)), seed_(seed) {
    for (Tensor* t : {&concentration_, &theta_, &derivative_, &raw_theta_}) *t = make_table();
  }

  std::string name() const override { return "drnas"; }

  const Tensor& draw(const std::uint32_t* step) override {
    const kernels::DirichletSample p{alpha_data(),
                                     parameters_.mask_data(),
                                     concentration_.data<double>(),
                                     theta_.data<double>(),
                                     derivative_.data<double>(),
                                     raw_theta_.data<double>(),
                                     parameters_.edges,
                                     parameters_.ops,
                                     seed_,
                                     step};
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] { kernels::dirichlet_sample<D>(p, compute_stream(D)); });
    });
    return theta_;
  }

  void backward(const Tensor& dtheta) override {
    const kernels::DirichletBackward p{
        dtheta.data<double>(),     alpha_data(),
        parameters_.mask_data(),   concentration_.data<double>(),
        theta_.data<double>(),     derivative_.data<double>(),
        raw_theta_.data<double>(), parameters_.gradient.data<double>(),
        parameters_.edges,         parameters_.ops};
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] { kernels::dirichlet_backward<D>(p, compute_stream(D)); });
    });
  }

  std::vector<std::vector<double>> mean() const override {
    auto rows = concentrations();
    const std::vector<std::uint8_t> kept = parameters_.mask.empty()
                                               ? std::vector<std::uint8_t>{}
                                               : download<std::uint8_t>(parameters_.mask);
    std::size_t entry = 0;
    for (auto& row : rows) {
      for (double& value : row)
        if (!kept.empty() && kept[entry++] == 0) value = 0;
      const double total = std::accumulate(row.begin(), row.end(), 0.0);
      for (double& value : row) value /= total;
    }
    return rows;
  }

  std::vector<std::vector<double>> concentrations() const override {
    auto rows = table(parameters_.alpha);
    for (auto& row : rows)
      for (double& a : row) a = a > 0 ? a + 1 : std::exp(a);
    return rows;
  }

 private:
  void enter_gradient(const Tensor& dtheta, kernels::AlphaStep& step) override {
    step.dtheta = dtheta.data<double>();
    step.concentration = concentration_.data<double>();
    step.theta = theta_.data<double>();
    step.derivative = derivative_.data<double>();
    step.raw_theta = raw_theta_.data<double>();
  }

  double* alpha_data() const { return parameters_.alpha.data<double>(); }

  std::uint64_t seed_;
  Tensor concentration_, theta_, derivative_, raw_theta_;
};

class SoftmaxDistribution final : public MixingDistribution {
 public:
  explicit SoftmaxDistribution(ArchitectureParameters parameters)
      : MixingDistribution(std::move(parameters)), theta_(make_table()) {}

  std::string name() const override { return "darts"; }

  const Tensor& draw(const std::uint32_t*) override {
    softmax_of_alpha(theta_);
    return theta_;
  }

  void backward(const Tensor& dtheta) override {
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::softmax_rows_backward<D>(parameters_.edges, parameters_.ops, theta_.data<double>(),
                                          dtheta.data<double>(),
                                          parameters_.gradient.data<double>(), compute_stream(D));
      });
    });
  }

  std::vector<std::vector<double>> mean() const override { return ranked_by(Ranking::softmax); }
  std::vector<std::vector<double>> concentrations() const override { return mean(); }

 private:
  Tensor theta_;
};

}  // namespace

ArchitectureParameters::ArchitectureParameters(int edges, int ops, std::uint64_t seed,
                                               Device device)
    : edges(edges), ops(ops) {
  for (Tensor* t : {&alpha, &gradient, &first_moment, &second_moment})
    *t = Tensor::zeros(table_shape(edges, ops), MemoryTag::optimizer, device, DType::f64);
  adam_steps = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, device, DType::i64);
  const kernels::RandomStream stream{seed, kernels::Purpose::mixing};
  std::vector<double> values(static_cast<std::size_t>(edges * ops));
  // Step 0xffffffff of the mixing stream: draws count up from zero and never reach it.
  for (int i = 0; i < edges * ops; ++i)
    values[i] = initial_deviation * stream.normal(0xffffffffu, i);
  upload<double>(values, alpha);
}

void ArchitectureParameters::prune(const std::vector<std::uint8_t>& kept) {
  if (static_cast<std::int64_t>(kept.size()) != alpha.elements())
    throw Error("alpha: a mask of " + std::to_string(kept.size()) + " entries, expected " +
                std::to_string(alpha.elements()));
  mask = Tensor(alpha.shape(), MemoryTag::optimizer, alpha.device(), DType::u8);
  upload<std::uint8_t>(kept, mask);
  for (const Tensor* table : {&alpha, &first_moment, &second_moment}) {
    std::vector<double> values = download<double>(*table);
    for (std::size_t i = 0; i < kept.size(); ++i)
      if (kept[i] == 0) values[i] = 0;
    upload<double>(values, *table);
  }
}

MixingDistribution::MixingDistribution(ArchitectureParameters parameters)
    : parameters_(std::move(parameters)),
      step_(Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, parameters_.alpha.device(),
                          DType::u32)) {}

const Tensor& MixingDistribution::sample(std::uint32_t step) {
  upload_scalar(step, step_);
  return draw(step_.data<std::uint32_t>());
}

void MixingDistribution::enter_gradient(const Tensor& dtheta, kernels::AlphaStep&) {
  backward(dtheta);
}

void MixingDistribution::update(const Tensor& dtheta, const kernels::AdamRule& rule, double kl,
                                const Tensor& squared_norm) {
  kernels::AlphaStep step{};
  step.edges = parameters_.edges;
  step.ops = parameters_.ops;
  step.mask = parameters_.mask_data();
  enter_gradient(dtheta, step);
  if (kl != 0 && !step.concentration)
    throw Error("--regulariser kl: needs a Dirichlet (--method drnas); --method " + name() +
                " takes l2 or none");
  step.kl = kl;
  step.gradient = parameters_.gradient.data<double>();
  step.squared_norm = squared_norm.data<double>();
  step.rule = rule;
  step.steps = parameters_.adam_steps.data<std::int64_t>();
  step.alpha = parameters_.alpha.data<double>();
  step.first_moment = parameters_.first_moment.data<double>();
  step.second_moment = parameters_.second_moment.data<double>();
  dispatch(dtheta.device(),
           [&]<Device D>() { execute([&] { kernels::alpha_step<D>(step, compute_stream(D)); }); });
}

std::vector<std::vector<double>> MixingDistribution::table(const Tensor& values) const {
  std::vector<std::vector<double>> rows(parameters_.edges);
  const std::vector<double> all = download<double>(values);
  for (int e = 0; e < parameters_.edges; ++e)
    rows[e].assign(all.begin() + std::ptrdiff_t{e} * parameters_.ops,
                   all.begin() + std::ptrdiff_t{e + 1} * parameters_.ops);
  return rows;
}

std::vector<std::vector<double>> MixingDistribution::ranked_by(Ranking ranking) const {
  if (ranking == Ranking::mean) return mean();
  const Tensor theta = make_table();
  softmax_of_alpha(theta);
  return table(theta);
}

void MixingDistribution::softmax_of_alpha(const Tensor& theta) const {
  dispatch(theta.device(), [&]<Device D>() {
    execute([&] {
      kernels::softmax_rows<D>(parameters_.edges, parameters_.ops, parameters_.alpha.data<double>(),
                               parameters_.mask_data(), theta.data<double>(), compute_stream(D));
    });
  });
}

Tensor MixingDistribution::make_table() const {
  return Tensor::zeros(table_shape(parameters_.edges, parameters_.ops), MemoryTag::optimizer,
                       parameters_.alpha.device(), DType::f64);
}

std::unique_ptr<MixingDistribution> make_dirichlet(ArchitectureParameters parameters,
                                                   std::uint64_t seed) {
  return std::make_unique<DirichletDistribution>(std::move(parameters), seed);
}

std::unique_ptr<MixingDistribution> make_softmax(ArchitectureParameters parameters) {
  return std::make_unique<SoftmaxDistribution>(std::move(parameters));
}

std::unique_ptr<MixingDistribution> make_distribution(const std::string& method,
                                                      ArchitectureParameters parameters,
                                                      std::uint64_t seed) {
  if (method == "drnas") return make_dirichlet(std::move(parameters), seed);
  if (method == "darts") return make_softmax(std::move(parameters));
  throw Error("--method " + method + ": expected drnas or darts");
}

}  // namespace drnas
