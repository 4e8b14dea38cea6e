// SPDX-License-Identifier: MIT
// Progressive DARTS (Chen et al., ICCV 2019): DARTS in stages, each a deeper network of fewer
// operations that starts anew. Depths, dropout and the limit on identities are options.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {
namespace {

BilevelParts::Start start(const MethodOptions& o, std::uint64_t seed) {
  std::unique_ptr<Law> law = make_softmax_law({o.edges, o.ops, seed, o.device});
  std::unique_ptr<AlphaRule> rule = make_adam_rule(*law, o.adam);
  return {std::move(law), std::move(rule)};
}

std::unique_ptr<SearchMethod> make(const MethodOptions& o) {
  BilevelParts parts;
  std::tie(parts.law, parts.rule) = start(o, o.seed);
  parts.start = [o](std::uint64_t seed) { return start(o, seed); };
  return make_bilevel(std::move(parts), o);
}

}  // namespace

const MethodInfo p_darts_method{.name = "p-darts",
                                .summary = "DARTS in stages of more cells",
                                .draws_from_dirichlet = false,
                                .deepens = true,
                                .space = "darts",
                                .make = make};

}  // namespace drnas
