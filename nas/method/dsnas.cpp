// SPDX-License-Identifier: MIT
// DSNAS (Hu et al., CVPR 2020): one operation of each edge runs, drawn from softmax(alpha); alpha
// and the weights learn from the same pass, alpha by the score function with the credit of what was
// chosen.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

const MethodInfo dsnas_method{.name = "dsnas",
                              .summary = "one operation an edge, score function",
                              .draws_from_dirichlet = false,
                              .make = [](const MethodOptions& o) {
                                auto law = make_gumbel_law({o.edges, o.ops, o.seed, o.device},
                                                           o.seed, 1, GumbelLaw::Gradient::score);
                                BilevelParts parts;
                                parts.rule = make_adam_rule(*law, o.adam);
                                parts.law = std::move(law);
                                parts.one_batch = true;
                                parts.joint = passes::joint.running(OperationsRun::weighted);
                                parts.weights = passes::weights.running(OperationsRun::weighted);
                                parts.evaluation =
                                    passes::evaluation.running(OperationsRun::weighted);
                                return make_bilevel(std::move(parts), o);
                              }};

}  // namespace drnas
