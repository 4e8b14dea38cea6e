// SPDX-License-Identifier: MIT
#include "nas/options/method_defaults.h"

#include <algorithm>
#include <array>

namespace drnas {
namespace {

/// `options`: NAME=VALUE, separated by spaces. Empty `method`, `base` or `space`: any. Rows apply
/// in order.
struct Defaults {
  std::string_view method, base, space, options, source;
};

constexpr std::string_view nb201 = "nas-bench-201", darts_space = "darts";

// Sources: AD AutoDL-Projects (configs/nas-benchmark/algos), DA darts, GA gaea_release, PC
// PC-DARTS, BN BayesNAS, PD pdarts, SD SmoothDARTS, SN SNAS-Series, PX proxylessnas, DrN the code
// of DrNAS.
constexpr std::array<Defaults, 30> all_defaults{{
    // What a method needs in any base.
    {"snas", "", "", "schedule-first=10 schedule-last=1", "DrN 201-space/train_search.py"},
    {"gdas", "", "", "schedule-first=10 schedule-last=1", "DrN, the same"},
    {"gdas-v1", "", "", "schedule-first=10 schedule-last=1", "DrN, the same"},
    {"sdarts-rs", "", "", "schedule-first=0.03 schedule-last=0.3",
     "SD nasbench201/train_search.py"},
    {"sdarts-adv", "", "", "schedule-first=0.03 schedule-last=0.3", "SD, the same"},
    {"gaea", "", "", "alpha-learning-rate=0.1 regulariser=none", "GA configs/cnn/search_method"},
    {"gaea-bilevel", "", "", "alpha-learning-rate=0.1 regulariser=none", "GA, the same"},
    {"gaea-pc-darts", "", "", "alpha-learning-rate=0.1 regulariser=none partial-channels=4",
     "GA, the same"},
    {"pc-darts", "", "", "partial-channels=4", "PC train_search.py"},
    {"proxyless", "", "", "alpha-learning-rate=1e-3 alpha-beta1=0 regulariser=none",
     "PX search/imagenet_arch_search.py"},
    {"proxyless-two", "", "", "alpha-learning-rate=1e-3 alpha-beta1=0 regulariser=none",
     "PX, the same"},
    {"parsec", "", "", "alpha-learning-rate=1e-2 regulariser=none", "a reimplementation"},
    {"setn", "", "", "select=sampled", "AD SETN.py"},
    {"bayesnas", "", "", "alpha-learning-rate=0.1 regulariser=group lambda=0.01",
     "BN search/main.py, README, a reimplementation"},
    // NAS-Bench-201's own baselines.
    {"", "authors", nb201,
     "nesterov=true weight-decay=5e-4 rate-moves=step order=weights-first epochs=50",
     "AD DARTS.config, GDAS.config"},
    {"darts-2nd", "authors", nb201, "order=alpha-first", "AD DARTS-V2.py"},
    {"gdas", "authors", nb201, "epochs=250 schedule-last=0.1", "AD GDAS.config"},
    {"gdas-v1", "authors", nb201, "epochs=250 schedule-last=0.1", "AD GDAS.config"},
    {"setn", "authors", nb201, "epochs=250 grad-clip=0", "AD SETN.config, SETN.py"},
    {"gaea", "authors", nb201, "epochs=25 channels=24 order=alpha-first", "GA, NAS-Bench-201"},
    {"gaea-bilevel", "authors", nb201, "epochs=25 channels=24 order=alpha-first", "GA, the same"},
    {"", "nats", nb201,
     "nesterov=true weight-decay=5e-4 rate-moves=step order=weights-first epochs=100 grad-clip=0 "
     "evaluation-norm=batch",
     "AD, NATS-Bench"},
    // The DARTS space.
    {"", "authors", darts_space,
     "channels=16 cells=8 epochs=50 batch-size=64 learning-rate=0.025 learning-rate-min=0.001 "
     "weight-decay=3e-4 alpha-learning-rate=3e-4 alpha-start-epoch=0 none-op=true "
     "partial-channels=1 keep-ops= stage-epochs=",
     "DA cnn/train_search.py"},
    {"pc-darts", "authors", darts_space,
     "partial-channels=4 batch-size=256 learning-rate=0.1 learning-rate-min=0 "
     "alpha-learning-rate=6e-4 alpha-start-epoch=15",
     "PC train_search.py"},
    {"gaea-pc-darts", "authors", darts_space,
     "partial-channels=4 batch-size=256 learning-rate=0.1 learning-rate-min=0 "
     "alpha-learning-rate=0.1",
     "GA configs/cnn/search_method"},
    {"snas", "authors", darts_space,
     "epochs=150 schedule-first=1 schedule-last=0.03 one-batch=true", "SN SNAS/train_search.py"},
    {"dsnas", "authors", darts_space, "epochs=150", "SN SNAS/train_search.py, cells"},
    {"gdas", "authors", darts_space,
     "epochs=250 nesterov=true weight-decay=5e-4 rate-moves=step order=weights-first "
     "schedule-last=0.1",
     "AD exps/algos GDAS.py"},
    {"bayesnas", "authors", darts_space,
     "channels=36 epochs=2 batch-size=18 learning-rate=0.1 learning-rate-min=0.1 weight-decay=1e-4 "
     "grad-clip=0 alpha-learning-rate=0.1 none-op=false",
     "BN search/main.py, OneShot.py"},
    // In any base: without its stages it is DARTS.
    {"p-darts", "", darts_space,
     "channels=16 cells=5 stage-cells=5,11,17 partial-channels=1,1,1 none-op=true keep-ops=8,5,3 "
     "stage-epochs=25,25,25 epochs=75 batch-size=96 learning-rate=0.025 learning-rate-min=0 "
     "warmup-epochs=0 weight-decay=3e-4 grad-clip=5 alpha-learning-rate=6e-4 alpha-grad-clip=5 "
     "alpha-start-epoch=10 skip-dropout=0,0.4,0.7 max-skips=2",
     "PD train_search.py; dropout: the paper, section 4.2.1"},
}};

/// Methods whose authors published settings for a space.
struct Published {
  std::string_view space;
  std::array<std::string_view, 12> methods;
};
constexpr std::array<Published, 2> published_settings{{
    {nb201,
     {"drnas", "darts", "darts-2nd", "gdas", "gdas-v1", "gaea", "gaea-bilevel", "sdarts-rs",
      "sdarts-adv", "setn"}},
    {darts_space,
     {"drnas", "darts", "darts-2nd", "pc-darts", "snas", "dsnas", "gdas", "sdarts-rs", "sdarts-adv",
      "gaea-pc-darts", "bayesnas", "p-darts"}},
}};

bool fits(std::string_view pattern, std::string_view value) {
  return pattern.empty() || pattern == value;
}

void split_into(const Defaults& row, std::vector<GivenOption>& all) {
  std::string_view rest = row.options;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(' '));
    const std::size_t equals = one.find('=');
    all.push_back({std::string(one.substr(0, equals)), std::string(one.substr(equals + 1)),
                   "--method " + std::string(row.method)});
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
  }
}

}  // namespace

std::vector<GivenOption> method_defaults(std::string_view method, std::string_view base,
                                         std::string_view space) {
  std::vector<GivenOption> all;
  // DrNAS's own settings in a space are those of its presets.
  const bool own = method == "drnas" && base == "authors";
  for (const Defaults& row : all_defaults)
    if (fits(row.method, method) && fits(row.base, base) && fits(row.space, space) && !own)
      split_into(row, all);
  return all;
}

std::string base_refusal(const SearchOptions& o) {
  if (o.base == "nats" && o.space != nb201)
    return "drnas or authors with --space " + o.space + " (NATS-Bench has cells of its own alone)";
  if (o.base != "authors") return {};
  for (const Published& known : published_settings)
    if (known.space == o.space &&
        std::find(known.methods.begin(), known.methods.end(), o.method) != known.methods.end())
      return {};
  return "drnas: the authors of " + o.method + " published no settings for --space " + o.space;
}

}  // namespace drnas
