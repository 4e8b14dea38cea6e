// SPDX-License-Identifier: MIT
// Calls of kernels/train/cross_entropy.h.
#pragma once

#include "kernels/train/cross_entropy.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

template <>
inline void append(Doubles& to, const kernels::CrossEntropyResult& r) {
  to.insert(to.end(), {r.loss, static_cast<double>(r.top1), static_cast<double>(r.top5)});
}

struct CrossEntropyCase {
  kernels::CrossEntropy p;
  Doubles logits;
  std::vector<std::int32_t> labels;
  float scale = 0.75f;

  CrossEntropyCase(Rng& rng, int n, int classes, float smoothing, double spread = 1)
      : p{n, classes, smoothing}, logits(normals(rng, std::int64_t{n} * classes, spread)) {
    for (int i = 0; i < n; ++i) labels.push_back(static_cast<std::int32_t>(rng() % classes));
  }
  double values() const { return static_cast<double>(logits.size()); }

  /// Results: "result", the loss, top-1 and top-5 hits; "loss" in float32.
  template <Device D>
  Call forward(Buffers<D>& b) const {
    const float* in = b.input(logits);
    const std::int32_t* of = b.template input<std::int32_t>(labels);
    auto* result = b.template output<kernels::CrossEntropyResult>("result", 1);
    float* loss = b.output("loss", 1);
    return b.call(4 * values(), [=, p = p](kernels::Stream stream) {
      kernels::cross_entropy_forward<D>(p, in, of, result, loss, stream);
    });
  }
  template <Device D>
  Call backward(Buffers<D>& b) const {
    const float *in = b.input(logits), *factor = b.input(std::vector<float>{scale});
    const std::int32_t* of = b.template input<std::int32_t>(labels);
    float* dlogits = b.output("dlogits", static_cast<std::int64_t>(logits.size()));
    return b.call(6 * values(), [=, p = p](kernels::Stream stream) {
      kernels::cross_entropy_backward<D>(p, in, of, factor, dlogits, stream);
    });
  }
};

}  // namespace drnas::test
