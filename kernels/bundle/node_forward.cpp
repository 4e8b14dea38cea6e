// SPDX-License-Identifier: MIT
#include "kernels/bundle/node_forward.h"

#include "kernels/core/error.h"

namespace drnas::kernels {

template <>
bool node_forward_joins<Device::cpu>(const NodeMix&, const ConvBundle&) {
  return false;
}
template <>
void node_forward<Device::cpu>(const NodeMix&, float*, const ConvBundleForward&, void*, Stream) {
  throw Error("node_forward: a CPU mixes and convolves one after the other");
}

}  // namespace drnas::kernels
