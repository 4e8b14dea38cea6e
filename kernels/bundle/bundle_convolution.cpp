// SPDX-License-Identifier: MIT
#include "kernels/bundle/bundle_convolution.h"

#include "kernels/core/parallel.h"

namespace drnas::kernels {
namespace {

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Match(Cases...) -> Match<Cases...>;  // Clang before 17 does not deduce it

/// Bytes of oneDNN's own scratch; after it lies room for a gradient that is not yet summed.
std::int64_t library_bytes(const ConvPlan& plan) {
  return round_up(static_cast<std::int64_t>(plan.scratch_bytes()), 256);
}

}  // namespace

BundleConvolution::Method BundleConvolution::choose(const Conv2d& shape, ConvPass pass) {
  // Forward results decide the signs that ReLU sees: there F(2x2, 3x3), which rounds like a direct
  // convolution.
  const int tile = pass == ConvPass::forward ? 2 : 0;
  if (WinogradPlan::supports(shape, pass)) return WinogradPlan(shape, pass, tile);
  if (Conv1x1Plan::supports(shape, pass)) return Conv1x1Plan(shape, pass);
  return &ConvPlan::get(shape, pass, 1);
}

BundleConvolution::BundleConvolution(const Conv2d& shape, ConvPass pass)
    : shape_(shape), pass_(pass), method_(choose(shape, pass)) {}

std::size_t BundleConvolution::packed_bytes() const {
  return std::visit(Match{[](const ConvPlan* plan) { return plan->packed_bytes(); },
                          [](const auto& plan) { return plan.packed_bytes(); }},
                    method_);
}

std::size_t BundleConvolution::scratch_bytes() const {
  return std::visit(Match{[&](const ConvPlan* plan) {
                            const bool sums = pass_ == ConvPass::backward_weight;
                            return static_cast<std::size_t>(library_bytes(*plan)) +
                                   (sums ? plan->packed_bytes() : 0);
                          },
                          [](const auto& plan) { return plan.scratch_bytes(); }},
                    method_);
}

std::int64_t BundleConvolution::staging_floats() const {
  return std::holds_alternative<const ConvPlan*>(method_) ? shape_.weight_count() : 0;
}

void BundleConvolution::pack(const float* weights, int rows, int columns, float* packed,
                             float* staging) const {
  std::visit(
      Match{[&](const ConvPlan* plan) { plan->pack(weights, rows, columns, packed, staging); },
            [&](const auto& plan) { plan.pack(weights, rows, columns, packed); }},
      method_);
}

void BundleConvolution::unpack(const float* packed, float* weights, int rows, int columns,
                               float* staging) const {
  std::visit(
      Match{[&](const ConvPlan* plan) { plan->unpack(packed, weights, rows, columns, staging); },
            [&](const auto& plan) { plan.unpack(packed, weights, rows, columns); }},
      method_);
}

void BundleConvolution::run(const float* x, const float* packed, const float* y,
                            void* scratch) const {
  std::visit(Match{[&](const ConvPlan* plan) { plan->run(x, packed, y, scratch); },
                   [&](const WinogradPlan& plan) { plan.run(x, packed, y, scratch); },
                   [&](const Conv1x1Plan& plan) { plan.run(x, packed, y); }},
             method_);
}

void BundleConvolution::add_weight_gradient(const float* x, const float* dy, float* packed,
                                            void* scratch) const {
  std::visit(Match{[&](const ConvPlan* plan) {
                     float* fresh = reinterpret_cast<float*>(static_cast<std::byte*>(scratch) +
                                                             library_bytes(*plan));
                     plan->run(x, fresh, dy, scratch);
                     const std::int64_t count =
                         static_cast<std::int64_t>(plan->packed_bytes() / sizeof(float));
#pragma omp simd
                     for (std::int64_t i = 0; i < count; ++i) packed[i] += fresh[i];
                   },
                   [&](const WinogradPlan& plan) { plan.run(x, packed, dy, scratch, true); },
                   [&](const Conv1x1Plan& plan) { plan.run(x, packed, dy, true); }},
             method_);
}

}  // namespace drnas::kernels
