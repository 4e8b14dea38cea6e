// SPDX-License-Identifier: MIT
#include "nas/distribution.h"

#include <cmath>
#include <numeric>

#include "engine/stream.h"
#include "kernels/dirichlet.h"
#include "kernels/philox.h"
#include "kernels/softmax_rows.h"

namespace drnas {
namespace {

constexpr double initial_deviation = 1e-3;

Shape table_shape(int edges, int ops) { return {1, 1, edges, ops}; }

class DirichletDistribution final : public MixingDistribution {
 public:
  DirichletDistribution(ArchitectureParameters parameters, std::uint64_t seed)
      : MixingDistribution(std::move(parameters)), seed_(seed) {
    for (Tensor* t : {&concentration_, &theta_, &derivative_, &raw_theta_, &row_kl_})
      *t = make_table();
    total_kl_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, theta_.device(), DType::f64);
  }

  std::string name() const override { return "drnas"; }

  const Tensor& draw(const std::uint32_t* step) override {
    const kernels::DirichletSample p{alpha(),
                                     nullptr,
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
    const kernels::DirichletBackward p{dtheta.data<double>(),
                                       alpha(),
                                       nullptr,
                                       concentration_.data<double>(),
                                       theta_.data<double>(),
                                       derivative_.data<double>(),
                                       raw_theta_.data<double>(),
                                       parameters_.gradient.data<double>(),
                                       parameters_.edges,
                                       parameters_.ops};
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] { kernels::dirichlet_backward<D>(p, compute_stream(D)); });
    });
  }

  std::vector<std::vector<double>> mean() const override {
    auto rows = concentrations();
    for (auto& row : rows) {
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

  void add_kl_gradient(double lambda) override {
    const kernels::KlToUniform p{alpha(),
                                 concentration_.data<double>(),
                                 lambda,
                                 row_kl_.data<double>(),
                                 total_kl_.data<double>(),
                                 parameters_.gradient.data<double>(),
                                 parameters_.edges,
                                 parameters_.ops};
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] { kernels::kl_to_uniform<D>(p, compute_stream(D)); });
    });
  }

 private:
  double* alpha() const { return parameters_.alpha.data<double>(); }

  std::uint64_t seed_;
  Tensor concentration_, theta_, derivative_, raw_theta_, row_kl_, total_kl_;
};

class SoftmaxDistribution final : public MixingDistribution {
 public:
  explicit SoftmaxDistribution(ArchitectureParameters parameters)
      : MixingDistribution(std::move(parameters)), theta_(make_table()) {}

  std::string name() const override { return "darts"; }

  const Tensor& draw(const std::uint32_t*) override {
    compute(theta_);
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

  std::vector<std::vector<double>> mean() const override {
    const Tensor theta = make_table();
    compute(theta);
    return table(theta);
  }
  std::vector<std::vector<double>> concentrations() const override { return mean(); }

  void add_kl_gradient(double) override {
    throw Error(
        "--regulariser kl: needs a Dirichlet (--method drnas); --method darts takes l2 or none");
  }

 private:
  void compute(const Tensor& theta) const {
    dispatch(theta.device(), [&]<Device D>() {
      execute([&] {
        kernels::softmax_rows<D>(parameters_.edges, parameters_.ops,
                                 parameters_.alpha.data<double>(), nullptr, theta.data<double>(),
                                 compute_stream(D));
      });
    });
  }

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

MixingDistribution::MixingDistribution(ArchitectureParameters parameters)
    : parameters_(std::move(parameters)),
      step_(Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, parameters_.alpha.device(),
                          DType::u32)) {}

const Tensor& MixingDistribution::sample(std::uint32_t step) {
  upload_scalar(step, step_);
  return draw(step_.data<std::uint32_t>());
}

std::vector<std::vector<double>> MixingDistribution::table(const Tensor& values) const {
  std::vector<std::vector<double>> rows(parameters_.edges);
  const std::vector<double> all = download<double>(values);
  for (int e = 0; e < parameters_.edges; ++e)
    rows[e].assign(all.begin() + std::ptrdiff_t{e} * parameters_.ops,
                   all.begin() + std::ptrdiff_t{e + 1} * parameters_.ops);
  return rows;
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
