// SPDX-License-Identifier: MIT
#include "nas/method/law.h"

#include "engine/stream.h"
#include "kernels/alpha/softmax_rows.h"

namespace drnas {

Law::Law(Alpha alpha)
    : alpha_(std::move(alpha)),
      step_(Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, alpha_.device(), DType::u32)) {}

const Tensor& Law::sample(std::uint32_t step) {
  upload_scalar(step, step_);
  return draw(step_.data<std::uint32_t>());
}

std::vector<std::vector<double>> Law::sampled(std::uint32_t step) {
  return operation_rows(sample(step));
}

std::vector<std::vector<double>> Law::operation_rows(const Tensor& table) const {
  std::vector<std::vector<double>> rows = alpha_.rows(table);
  for (std::vector<double>& row : rows) row.resize(static_cast<std::size_t>(operations()));
  return rows;
}

std::vector<kernels::EntrySet> Law::simplex_sets() const {
  std::vector<kernels::EntrySet> rows;
  for (int edge = 0; edge < alpha_.edges; ++edge)
    rows.push_back({edge * alpha_.ops, alpha_.ops, 1});
  return rows;
}

void Law::enter_gradient(const Tensor& dtheta, kernels::AlphaStep&) { backward(dtheta); }

std::vector<std::vector<double>> Law::ranked_by(Ranking ranking) const {
  if (ranking == Ranking::mean) return mean();
  const Tensor theta = alpha_.make_table();
  softmax_of_alpha(theta);
  return alpha_.rows(theta);
}

void Law::softmax_of_alpha(const Tensor& theta) const {
  dispatch(theta.device(), [&]<Device D>() {
    execute([&] {
      kernels::softmax_rows<D>(alpha_.edges, alpha_.ops, alpha_.values.data<double>(),
                               alpha_.kept_data(), theta.data<double>(), compute_stream(D));
    });
  });
}

}  // namespace drnas
