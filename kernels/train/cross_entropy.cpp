// SPDX-License-Identifier: MIT
#include "kernels/train/cross_entropy.h"

#include <algorithm>
#include <cmath>

namespace drnas::kernels {
namespace {

/// log of the sum of exp(logit) of one row.
double log_sum_exp(const float* logits, int classes) {
  const double largest = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int k = 0; k < classes; ++k) sum += std::exp(logits[k] - largest);
  return largest + std::log(sum);
}

/// Logits that rank before the label's.
int rank_of(const float* logits, int classes, int label) {
  int rank = 0;
  for (int k = 0; k < classes; ++k) rank += ranks_before(logits[k], k, logits[label], label);
  return rank;
}

}  // namespace

template <>
void cross_entropy_forward<Device::cpu>(const CrossEntropy& p, const float* logits,
                                        const std::int32_t* labels, CrossEntropyResult* result,
                                        float* loss, Stream) {
  *result = {};
  double sum = 0;
  for (int i = 0; i < p.n; ++i) {
    const float* row = logits + std::ptrdiff_t{i} * p.classes;
    const double log_sum = log_sum_exp(row, p.classes);
    double mean_logit = 0;
    for (int k = 0; k < p.classes; ++k) mean_logit += row[k];
    mean_logit /= p.classes;
    sum += log_sum - (1.0 - p.smoothing) * row[labels[i]] - p.smoothing * mean_logit;
    const int rank = rank_of(row, p.classes, labels[i]);
    result->top1 += rank < 1;
    result->top5 += rank < 5;
  }
  result->loss = sum / p.n;
  *loss = static_cast<float>(result->loss);
}

template <>
void cross_entropy_backward<Device::cpu>(const CrossEntropy& p, const float* logits,
                                         const std::int32_t* labels, const float* scale,
                                         float* dlogits, Stream) {
  const double factor = static_cast<double>(*scale) / p.n;
  for (int i = 0; i < p.n; ++i) {
    const float* row = logits + std::ptrdiff_t{i} * p.classes;
    const double log_sum = log_sum_exp(row, p.classes);
    for (int k = 0; k < p.classes; ++k) {
      const double target =
          (k == labels[i] ? 1.0 - p.smoothing : 0.0) + static_cast<double>(p.smoothing) / p.classes;
      dlogits[std::ptrdiff_t{i} * p.classes + k] =
          static_cast<float>(factor * (std::exp(row[k] - log_sum) - target));
    }
  }
}

}  // namespace drnas::kernels
