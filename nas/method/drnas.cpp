// SPDX-License-Identifier: MIT
// DrNAS (Chen et al., ICLR 2021): mixing weights drawn from a Dirichlet whose concentrations are
// learnt by pathwise derivatives.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

const MethodInfo drnas_method{
    .name = "drnas",
    .summary = "Dirichlet",
    .draws_from_dirichlet = true,
    .make = [](const MethodOptions& o) {
      return make_bilevel(make_dirichlet_law({o.edges, o.ops, o.seed, o.device}, o.seed), o);
    }};

}  // namespace drnas
