// SPDX-License-Identifier: MIT
#include "kernels/alpha/alpha_step.h"

#include "kernels/alpha/alpha_step_entry.h"

namespace drnas::kernels {

template <>
void alpha_step<Device::cpu>(const AlphaStep& p, Stream stream) {
  check_rows("alpha_step", p.edges, p.ops);
  const int count = p.edges * p.ops;
  if (p.dtheta) dirichlet_backward<Device::cpu>(draw_gradient(p), stream);
  for (int edge = 0; p.kl != 0 && edge < p.edges; ++edge)
    for (int op = 0; op < p.ops; ++op) add_kl_gradient(p, edge, op);
  double squares = 0.0;
  for (int i = 0; i < count; ++i) squares += p.gradient[i] * p.gradient[i];
  *p.squared_norm = squares;
  if (!std::isfinite(squares)) return;
  const AdamCorrection correction(p.rule, ++*p.steps);
  const double clip = clip_factor(squares, p.rule.max_norm);
  for (int i = 0; i < count; ++i) adam_entry(p, correction, clip, i);
}

}  // namespace drnas::kernels
