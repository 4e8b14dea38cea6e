// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/core/host_device.h"

namespace drnas::kernels {

/// Mean cross entropy of softmax(logits) against labels with optional label smoothing s:
/// L = -(1/n) sum_i [(1-s) log p_i(y_i) + (s/classes) sum_k log p_i(k)]; and counts of top-1 and
/// top-5 hits, where a label's rank is the number of strictly larger logits plus equal ones of
/// smaller index; what is compared with NaN ranks before the label, so that it is no hit.
struct CrossEntropy {
  int n, classes;
  float smoothing;
};
struct CrossEntropyResult {
  double loss;              ///< mean over n
  std::int32_t top1, top5;  ///< hits
};
/// Does logit k rank before the label's?
DRNAS_HD inline bool ranks_before(float logit, int k, float wanted, int label) {
  return k != label && !(logit < wanted || (logit == wanted && k > label));
}
/// Writes *result and *loss, the same loss in float32.
template <Device D>
void cross_entropy_forward(const CrossEntropy& p, const float* logits, const std::int32_t* labels,
                           CrossEntropyResult* result, float* loss, Stream);
/// dlogits = *scale (softmax - target)/n, overwritten.
template <Device D>
void cross_entropy_backward(const CrossEntropy& p, const float* logits, const std::int32_t* labels,
                            const float* scale, float* dlogits, Stream);

}  // namespace drnas::kernels
