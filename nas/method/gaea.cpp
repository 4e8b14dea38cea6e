// SPDX-License-Identifier: MIT
// GAEA (Li et al., ICLR 2021): mixing weights on the simplex, moved by exponentiated gradients.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

namespace {

std::unique_ptr<SearchMethod> make_gaea(const MethodOptions& o, bool one_batch) {
  BilevelParts parts;
  parts.law = make_simplex_law({o.edges, o.ops, o.seed, o.device});
  parts.rule = make_exponentiated_rule(*parts.law, o.adam.learning_rate);
  parts.one_batch = one_batch;
  return make_bilevel(std::move(parts), o);
}

}  // namespace

const MethodInfo gaea_method{.name = "gaea",
                             .summary = "exponentiated gradient, one batch for both",
                             .draws_from_dirichlet = false,
                             .stages = false,
                             .make = [](const MethodOptions& o) { return make_gaea(o, true); }};

const MethodInfo gaea_bilevel_method{
    .name = "gaea-bilevel",
    .summary = "exponentiated gradient on validation batches",
    .draws_from_dirichlet = false,
    .stages = false,
    .make = [](const MethodOptions& o) { return make_gaea(o, false); }};

const MethodInfo gaea_pc_darts_method{
    .name = "gaea-pc-darts",
    .summary = "PC-DARTS by exponentiated gradients",
    .draws_from_dirichlet = false,
    .stages = false,
    .edge_weights = true,
    .make = [](const MethodOptions& o) {
      BilevelParts parts;
      parts.law =
          make_edge_weighted_law({o.edges, o.ops + 1, o.seed, o.device}, o.node_of_edge, true);
      parts.rule = make_exponentiated_rule(*parts.law, o.adam.learning_rate);
      return make_bilevel(std::move(parts), o);
    }};

}  // namespace drnas
