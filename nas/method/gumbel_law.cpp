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
      : GumbelLaw(std::move(alpha)), seed_(seed), samples_(samples), gradient_(gradient) {
    for (Tensor* t : {&theta_, &soft_}) *t = alpha_.make_table();
    temperature_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, alpha_.device(), DType::f64);
    set_temperature(1);
  }

  void set_temperature(double temperature) override { upload_scalar(temperature, temperature_); }

  const Tensor& theta() const override { return theta_; }

  const Tensor& draw(const std::uint32_t* step) override {
    const kernels::GumbelDraw p{alpha_.values.data<double>(),
                                alpha_.kept_data(),
                                theta_.data<double>(),
                                soft_.data<double>(),
                                alpha_.edges,
                                alpha_.ops,
                                seed_,
                                step,
                                temperature_.data<double>(),
                                samples_};
    dispatch(theta_.device(),
             [&]<Device D>() { execute([&] { kernels::gumbel_draw<D>(p, compute_stream(D)); }); });
    return theta_;
  }

  void backward(const Tensor& dtheta) override {
    if (gradient_ == Gradient::softmax) softmax_of_alpha(soft_);
    dispatch(theta_.device(), [&]<Device D>() {
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
        return kernels::gumbel_backward<D>(alpha_.edges, alpha_.ops, soft_.data<double>(),
                                           temperature_.data<double>(), dtheta, dalpha,
                                           compute_stream(D));
      case Gradient::score:
        return kernels::score_backward<D>(alpha_.edges, alpha_.ops, alpha_.values.data<double>(),
                                          alpha_.kept_data(), theta_.data<double>(), dtheta, dalpha,
                                          compute_stream(D));
      case Gradient::softmax:
        return kernels::softmax_rows_backward<D>(alpha_.edges, alpha_.ops, soft_.data<double>(),
                                                 dtheta, dalpha, compute_stream(D));
      case Gradient::pair:
        return kernels::pair_backward<D>(alpha_.edges, alpha_.ops, alpha_.values.data<double>(),
                                         theta_.data<double>(), dtheta, dalpha, compute_stream(D));
    }
  }

  std::uint64_t seed_;
  int samples_;
  Gradient gradient_;
  Tensor theta_, soft_;
  Tensor temperature_;  // [1] float64, in the device's memory
};

}  // namespace

std::unique_ptr<GumbelLaw> make_gumbel_law(Alpha alpha, std::uint64_t seed, int samples,
                                           GumbelLaw::Gradient gradient) {
  return std::make_unique<SampledOrSoft>(std::move(alpha), seed, samples, gradient);
}

}  // namespace drnas
