// SPDX-License-Identifier: MIT
#include "kernels/layers/vendor_conv2d.h"

namespace drnas::kernels {

std::string describe(const ConvRequest& r) {
  static constexpr const char* passes[] = {"forward", "backward_data", "backward_weight"};
  static constexpr const char* numbers[] = {"fp32", "tf32", "bf16"};
  const Conv2d& s = r.shape;
  const auto text = [](int value) { return std::to_string(value); };
  return std::string("conv2d ") + passes[static_cast<int>(r.pass)] + ", " +
         numbers[static_cast<int>(r.numbers)] + ", x [" + text(s.n) + ", " + text(s.h) + ", " +
         text(s.w) + ", " + text(s.c_in) + "], weights [" + text(s.c_out) + ", " + text(s.kernel) +
         ", " + text(s.kernel) + ", " + text(s.c_in) + "], stride " + text(s.stride) +
         ", padding " + text(s.padding);
}

void refuse(const ConvRequest& request, const std::string& why) {
  const char* other = request.numbers == ConvNumbers::tf32 ? "fp32" : "tf32";
  throw Error(describe(request) + ": " + why + "; --precision " + other +
              " may have one, --conv own needs none");
}

std::vector<ConvAlgorithm> choose_algorithms(const std::vector<ConvAlgorithm>& list) {
  std::vector<ConvAlgorithm> kept;
  const ConvAlgorithm* least = nullptr;
  for (const ConvAlgorithm& algorithm : list) {
    if (algorithm.workspace <= preferred_workspace) kept.push_back(algorithm);
    if (algorithm.workspace <= most_workspace && (!least || algorithm.workspace < least->workspace))
      least = &algorithm;
  }
  if (kept.empty() && least) kept.push_back(*least);
  return kept;
}

}  // namespace drnas::kernels
