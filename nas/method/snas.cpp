// SPDX-License-Identifier: MIT
// SNAS (Xie et al., ICLR 2019): soft draws of a concrete distribution whose temperature falls.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

namespace {

std::unique_ptr<SearchMethod> make_snas(const MethodOptions& o) {
  auto law =
      make_gumbel_law({o.edges, o.ops, o.seed, o.device}, o.seed, 0, GumbelLaw::Gradient::soft);
  BilevelParts parts;
  parts.rule = make_adam_rule(*law, o.adam);
  parts.one_batch = o.one_batch;
  parts.begin_epoch = [law = law.get(), o](std::int64_t epoch) {
    law->set_temperature(o.scheduled(epoch));
  };
  parts.law = std::move(law);
  return make_bilevel(std::move(parts), o);
}

}  // namespace

const MethodInfo snas_method{.name = "snas",
                             .summary = "concrete distribution",
                             .draws_from_dirichlet = false,
                             .one_batch = true,
                             .schedule = MethodSchedule::temperature,
                             .make = make_snas};

}  // namespace drnas
