// SPDX-License-Identifier: MIT
#include <numeric>

#include "engine/stream.h"
#include "kernels/alpha/dirichlet.h"
#include "kernels/alpha/dirichlet_math.h"
#include "nas/method/law.h"

namespace drnas {
namespace {

class DirichletLaw final : public Law {
 public:
  DirichletLaw(Alpha alpha, std::uint64_t seed) : Law(std::move(alpha)), seed_(seed) {
    for (Tensor* t : {&concentration_, &theta_, &derivative_, &raw_theta_})
      *t = alpha_.make_table();
  }

  const Tensor& draw(const std::uint32_t* step) override {
    const kernels::DirichletSample p{alpha_.values.data<double>(),
                                     alpha_.kept_data(),
                                     concentration_.data<double>(),
                                     theta_.data<double>(),
                                     derivative_.data<double>(),
                                     raw_theta_.data<double>(),
                                     alpha_.edges,
                                     alpha_.ops,
                                     seed_,
                                     step};
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] { kernels::dirichlet_sample<D>(p, compute_stream(D)); });
    });
    return theta_;
  }

  void backward(const Tensor& dtheta) override {
    const kernels::DirichletBackward p{dtheta.data<double>(),
                                       alpha_.values.data<double>(),
                                       alpha_.kept_data(),
                                       concentration_.data<double>(),
                                       theta_.data<double>(),
                                       derivative_.data<double>(),
                                       raw_theta_.data<double>(),
                                       alpha_.gradient.data<double>(),
                                       alpha_.edges,
                                       alpha_.ops};
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] { kernels::dirichlet_backward<D>(p, compute_stream(D)); });
    });
  }

  std::vector<std::vector<double>> mean() const override {
    auto rows = concentrations();
    const std::vector<std::uint8_t> kept = alpha_.kept_entries();
    std::size_t entry = 0;
    for (auto& row : rows) {
      for (double& value : row)
        if (kept[entry++] == 0) value = 0;
      const double total = std::accumulate(row.begin(), row.end(), 0.0);
      for (double& value : row) value /= total;
    }
    return rows;
  }

  std::vector<std::vector<double>> concentrations() const override {
    auto rows = alpha_.rows(alpha_.values);
    for (auto& row : rows)
      for (double& a : row) a = kernels::concentration_of(a);
    return rows;
  }

  bool is_dirichlet() const override { return true; }

  void enter_gradient(const Tensor& dtheta, kernels::AlphaStep& step) override {
    step.dtheta = dtheta.data<double>();
    step.concentration = concentration_.data<double>();
    step.theta = theta_.data<double>();
    step.derivative = derivative_.data<double>();
    step.raw_theta = raw_theta_.data<double>();
  }

 private:
  std::uint64_t seed_;
  Tensor concentration_, theta_, derivative_, raw_theta_;
};

}  // namespace

std::unique_ptr<Law> make_dirichlet_law(Alpha alpha, std::uint64_t seed) {
  return std::make_unique<DirichletLaw>(std::move(alpha), seed);
}

}  // namespace drnas
