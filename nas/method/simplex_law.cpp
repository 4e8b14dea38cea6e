// SPDX-License-Identifier: MIT
#include "engine/stream.h"
#include "nas/method/law.h"

namespace drnas {
namespace {

class SimplexLaw final : public Law {
 public:
  explicit SimplexLaw(Alpha alpha) : Law(std::move(alpha)) {
    alpha_.start_uniform(Law::simplex_sets());
  }

  const Tensor& draw(const std::uint32_t*) override { return alpha_.values; }
  void backward(const Tensor& dtheta) override { copy(dtheta, alpha_.gradient); }

  std::vector<std::vector<double>> mean() const override { return alpha_.rows(alpha_.values); }
  std::vector<std::vector<double>> concentrations() const override { return mean(); }
  std::vector<std::vector<double>> ranked_by(Ranking) const override { return mean(); }
};

}  // namespace

std::unique_ptr<Law> make_simplex_law(Alpha alpha) {
  return std::make_unique<SimplexLaw>(std::move(alpha));
}

}  // namespace drnas
