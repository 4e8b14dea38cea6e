// SPDX-License-Identifier: MIT
// PC-DARTS (Xu et al., ICLR 2020): DARTS on partial channels, with a weight for each whole edge.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

const MethodInfo pc_darts_method{
    .name = "pc-darts",
    .summary = "softmax with weights of edges",
    .draws_from_dirichlet = false,
    .stages = false,
    .edge_weights = true,
    .make = [](const MethodOptions& o) {
      return make_bilevel(
          make_edge_weighted_law({o.edges, o.ops + 1, o.seed, o.device}, o.node_of_edge, false), o);
    }};

}  // namespace drnas
