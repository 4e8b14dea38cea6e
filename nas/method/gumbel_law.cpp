// SPDX-License-Identifier: MIT
#include "engine/stream.h"
#include "kernels/alpha/mixing.h"
#include "kernels/alpha/softmax_rows.h"
#include "nas/method/law.h"

namespace drnas {
namespace {

class SampledOrSoft final : public GumbelLaw {
 public:
  SampledOrSoft(Alpha alpha, std::uint64_t seed, int samples, Gradient gradient)
      : GumbelLaw(std::move(alpha)),
        seed_(seed),
        samples_(samples),
        gradient_(gradient),
        tables_(alpha_) {}

  void set_temperature(double temperature) override {
    upload_scalar(temperature, tables_.temperature);
  }
  const Tensor& theta() const override { return tables_.theta; }
  const Tensor& draw(const std::uint32_t* step) override {
    return tables_.draw(alpha_, seed_, step, samples_);
  }

  void backward(const Tensor& dtheta) override {
    if (gradient_ == Gradient::softmax) softmax_of_alpha(tables_.soft);
    dispatch(alpha_.device(), [&]<Device D>() {
      execute([&] { pull_back<D>(dtheta.data<double>(), alpha_.gradient.data<double>()); });
    });
  }

  std::vector<std::vector<double>> mean() const override { return ranked_by(Ranking::softmax); }
  std::vector<std::vector<double>> concentrations() const override { return mean(); }

 private:
  template <Device D>
  void pull_back(const double* dtheta, double* dalpha) const {
    switch (gradient_) {
      case Gradient::soft:
        return kernels::gumbel_backward<D>(alpha_.edges, alpha_.ops, tables_.soft.data<double>(),
                                           tables_.temperature.data<double>(), dtheta, dalpha,
                                           compute_stream(D));
      case Gradient::score:
        return kernels::score_backward<D>(alpha_.edges, alpha_.ops, alpha_.values.data<double>(),
                                          alpha_.kept_data(), tables_.theta.data<double>(), dtheta,
                                          dalpha, compute_stream(D));
      case Gradient::softmax:
        return kernels::softmax_rows_backward<D>(alpha_.edges, alpha_.ops,
                                                 tables_.soft.data<double>(), dtheta, dalpha,
                                                 compute_stream(D));
      case Gradient::pair:
        return kernels::pair_backward<D>(alpha_.edges, alpha_.ops, alpha_.values.data<double>(),
                                         tables_.theta.data<double>(), dtheta, dalpha,
                                         compute_stream(D));
    }
  }

  std::uint64_t seed_;
  int samples_;
  Gradient gradient_;
  GumbelTables tables_;
};

class OneOf final : public ThetaSource {
 public:
  OneOf(GumbelLaw& law, std::uint64_t seed) : law_(law), seed_(seed), tables_(law.alpha()) {}
  const Tensor& draw(const std::uint32_t* step) override {
    return tables_.draw(law_.alpha(), seed_, step, 1);
  }
  /// A step of the weights knows no gates: alpha has no gradient then.
  void backward(const Tensor&) override { law_.alpha().gradient.clear(); }
  const Tensor& alpha_gradient() const override { return law_.alpha_gradient(); }

 private:
  GumbelLaw& law_;
  std::uint64_t seed_;
  GumbelTables tables_;
};

}  // namespace

GumbelTables::GumbelTables(const Alpha& alpha)
    : theta(alpha.make_table()),
      soft(alpha.make_table()),
      temperature(Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, alpha.device(), DType::f64)) {
  upload_scalar(1.0, temperature);
}

const Tensor& GumbelTables::draw(const Alpha& alpha, std::uint64_t seed, const std::uint32_t* step,
                                 int samples) const {
  const kernels::GumbelDraw p{alpha.values.data<double>(),
                              alpha.kept_data(),
                              theta.data<double>(),
                              soft.data<double>(),
                              alpha.edges,
                              alpha.ops,
                              seed,
                              step,
                              temperature.data<double>(),
                              samples};
  dispatch(theta.device(),
           [&]<Device D>() { execute([&] { kernels::gumbel_draw<D>(p, compute_stream(D)); }); });
  return theta;
}

std::unique_ptr<GumbelLaw> make_gumbel_law(Alpha alpha, std::uint64_t seed, int samples,
                                           GumbelLaw::Gradient gradient) {
  return std::make_unique<SampledOrSoft>(std::move(alpha), seed, samples, gradient);
}

std::unique_ptr<ThetaSource> make_one_of(GumbelLaw& law, std::uint64_t seed) {
  return std::make_unique<OneOf>(law, seed);
}

}  // namespace drnas
