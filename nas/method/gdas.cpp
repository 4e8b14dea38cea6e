// SPDX-License-Identifier: MIT
// GDAS (Dong and Yang, CVPR 2019): one operation of each edge runs, chosen by Gumbel noise; the
// gradient is that of the soft draw.
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

namespace {

std::unique_ptr<SearchMethod> make_gdas(const MethodOptions& o, OperationsRun run) {
  auto law =
      make_gumbel_law({o.edges, o.ops, o.seed, o.device}, o.seed, 1, GumbelLaw::Gradient::soft);
  BilevelParts parts;
  parts.rule = make_adam_rule(*law, o.adam);
  parts.architecture = passes::architecture.running(run);
  parts.weights = passes::weights.running(run);
  parts.evaluation = passes::evaluation.running(OperationsRun::weighted);
  parts.begin_epoch = [law = law.get(), o](std::int64_t epoch) {
    law->set_temperature(o.scheduled(epoch));
  };
  parts.law = std::move(law);
  return make_bilevel(std::move(parts), o);
}

}  // namespace

const MethodInfo gdas_method{
    .name = "gdas",
    .summary = "one operation an edge by Gumbel noise",
    .draws_from_dirichlet = false,
    .schedule = MethodSchedule::temperature,
    .make = [](const MethodOptions& o) { return make_gdas(o, OperationsRun::gates); }};

const MethodInfo gdas_v1_method{
    .name = "gdas-v1",
    .summary = "the same without gates of what does not run",
    .draws_from_dirichlet = false,
    .schedule = MethodSchedule::temperature,
    .make = [](const MethodOptions& o) { return make_gdas(o, OperationsRun::weighted); }};

}  // namespace drnas
