// SPDX-License-Identifier: MIT
// ProxylessNAS (Cai et al., ICLR 2019), gates in full: one operation of each edge, drawn from
// softmax(alpha), runs in a step of the weights. Every fifth step alpha learns on a validation
// batch where all operations run behind a sampled gate, from the derivatives of all gates.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

const MethodInfo proxyless_method{
    .name = "proxyless",
    .summary = "sampled gates",
    .draws_from_dirichlet = false,
    .make = [](const MethodOptions& o) {
      BilevelParts parts;
      parts.law = make_gumbel_law({o.edges, o.ops, o.seed, o.device}, o.seed, true,
                                  GumbelLaw::Gradient::softmax);
      parts.rule = make_adam_rule(*parts.law, o.adam);
      parts.weights = passes::weights.running(OperationsRun::weighted);
      parts.evaluation = passes::evaluation.running(OperationsRun::weighted);
      parts.alpha_every = 5;
      return make_bilevel(std::move(parts), o);
    }};

}  // namespace drnas
