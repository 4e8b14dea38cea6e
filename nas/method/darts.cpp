// SPDX-License-Identifier: MIT
// DARTS, first order (Liu et al., ICLR 2019): mixing weights are the softmax of alpha.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

const MethodInfo darts_method{
    .name = "darts",
    .summary = "softmax",
    .draws_from_dirichlet = false,
    .make = [](const MethodOptions& o) {
      return make_bilevel(make_softmax_law({o.edges, o.ops, o.seed, o.device}), o);
    }};

}  // namespace drnas
