// SPDX-License-Identifier: MIT
#include "engine/stream.h"
#include "kernels/alpha/softmax_rows.h"
#include "nas/method/law.h"

namespace drnas {
namespace {

class SoftmaxLaw final : public Law {
 public:
  explicit SoftmaxLaw(Alpha alpha) : Law(std::move(alpha)), theta_(alpha_.make_table()) {}

  const Tensor& draw(const std::uint32_t*) override {
    softmax_of_alpha(theta_);
    return theta_;
  }

  void backward(const Tensor& dtheta) override {
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::softmax_rows_backward<D>(alpha_.edges, alpha_.ops, theta_.data<double>(),
                                          dtheta.data<double>(), alpha_.gradient.data<double>(),
                                          compute_stream(D));
      });
    });
  }

  std::vector<std::vector<double>> mean() const override { return ranked_by(Ranking::softmax); }
  std::vector<std::vector<double>> concentrations() const override { return mean(); }

 private:
  Tensor theta_;
};

}  // namespace

std::unique_ptr<Law> make_softmax_law(Alpha alpha) {
  return std::make_unique<SoftmaxLaw>(std::move(alpha));
}

}  // namespace drnas
