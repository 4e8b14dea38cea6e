// SPDX-License-Identifier: MIT
#include "kernels/bundle/node_backward.h"

#include <algorithm>

namespace drnas::kernels {

template <>
bool node_backward_joins<Device::cpu>(const ConvBundle&, const NodeMix&) {
  return false;
}
template <>
std::size_t node_backward_workspace<Device::cpu>(const ConvBundle& bundle, const NodeMix& mix) {
  return std::max(conv_bundle_backward_workspace<Device::cpu>(bundle),
                  node_mix_backward_workspace<Device::cpu>(mix));
}
template <>
void node_backward<Device::cpu>(const ConvBundleBackward& bundle, const NodeMixBackward& mix,
                                void* workspace, Stream stream) {
  conv_bundle_backward<Device::cpu>(bundle, workspace, stream);
  node_mix_backward<Device::cpu>(mix, workspace, stream);
}

}  // namespace drnas::kernels
