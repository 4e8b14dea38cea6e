// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/layers/conv2d.h"

/// Convolutions of the vendor's library (cudnn_conv2d.cu), for conv2d.cu alone.
namespace drnas::kernels {

/// Element type and arithmetic.
enum class ConvNumbers { fp32, tf32, bf16 };

/// What a plan of the library is for.
struct ConvRequest {
  Conv2d shape;
  ConvPass pass;
  ConvNumbers numbers;
  auto operator<=>(const ConvRequest&) const = default;
};

/// "conv2d forward, fp32, x [64, 32, 32, 16], weights [16, 3, 3, 16], stride 1, padding 1"
std::string describe(const ConvRequest& request);
/// Throws Error: the library does not do what it is asked for. Names the request and the option
/// that may help.
[[noreturn]] void refuse(const ConvRequest& request, const std::string& why);

struct ConvAlgorithm {
  int index;  ///< of the pass's own enumeration
  int math;
  std::size_t workspace;
};
/// Scratch of one call: the first is what algorithms should need, the second what none may exceed.
inline constexpr std::size_t preferred_workspace = std::size_t{8} << 20,
                             most_workspace = std::size_t{256} << 20;
/// What a plan keeps of a list, best first: those within the preferred scratch; where there are
/// none, the one with the least that is allowed. Empty where there is none.
std::vector<ConvAlgorithm> choose_algorithms(const std::vector<ConvAlgorithm>& list);

/// Is the library part of the build?
bool vendor_convolutions_there();
/// The first use of a request must not lie in a capture.
std::size_t vendor_conv2d_workspace(const ConvRequest& request);
/// One pass: forward (x, w) -> y; backward_data (w, dy) -> dx; backward_weight (x, dy) -> dw.
void vendor_conv2d(const ConvRequest& request, const void* a, const void* b, void* out,
                   void* workspace, Stream stream);

}  // namespace drnas::kernels
