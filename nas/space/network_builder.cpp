// SPDX-License-Identifier: MIT
#include "nas/space/network_builder.h"

namespace drnas {

NormParameters build_norm(NetworkBuilder& builder, const std::string& name, int channels,
                          bool affine, const std::string& axis) {
  NormParameters norm;
  const Shape shape{1, 1, 1, channels};
  if (affine) {
    norm.gamma = builder.weight(name + ".weight", shape, Initial::value(1));
    norm.beta = builder.weight(name + ".bias", shape, Initial::value(0));
  }
  norm.mean = builder.statistic(name + ".running_mean", channels, 0, axis);
  norm.var = builder.statistic(name + ".running_var", channels, 1, axis);
  return norm;
}

Variable run_norm(Tape& tape, const std::string& name, const NormParameters& norm,
                  const Variable& x, bool training) {
  const auto normalise = x.value().layout() == Layout::planes ? plane_norm : batch_norm;
  return normalise(tape, name, x, norm.gamma, norm.beta, norm.mean, norm.var,
                   {.training = training});
}

}  // namespace drnas
