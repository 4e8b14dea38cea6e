// SPDX-License-Identifier: MIT
#include "nas/search/stages.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/parameters/schedule.h"
#include "tests/support/option_files.h"

using namespace drnas;
using test_files::check_fails;

TEST_CASE("stages: one of all epochs, or those that are given") {
  SearchOptions o;
  o.epochs = 7;
  const auto one = stages_of(o, 5);
  REQUIRE(one.size() == 1);
  CHECK((one[0].first_epoch == 0 && one[0].epochs == 7 && one[0].partial_channels == 1 &&
         one[0].keep_ops == 5));
  o = preset_options("nb201-progressive");
  o.out = "run";
  o.validate();
  const auto two = stages_of(o, 5);
  REQUIRE(two.size() == 2);
  CHECK((two[0].partial_channels == 4 && two[0].keep_ops == 5 && two[0].end_epoch() == 50));
  CHECK((two[1].partial_channels == 2 && two[1].keep_ops == 3 && two[1].first_epoch == 50));
  for (const int epoch : {0, 49, 50, 99, 100})
    CHECK(stage_at(two, epoch).number == (epoch < 50 ? 1 : 2));
  // Alpha rests for ten epochs of each.
  for (const int epoch : {0, 9, 10, 49, 50, 59, 60, 99})
    CHECK(alpha_learns(o, stage_at(two, epoch), epoch) == (epoch % 50 >= 10));
  int learnt = 0;
  for (int epoch = 0; epoch < 100; ++epoch) {
    CHECK(alpha_epochs_before(o, two, epoch) == learnt);
    learnt += alpha_learns(o, stage_at(two, epoch), epoch);
  }
}

/// A chainable cosine schedule whose optimizer starts at the full rate at epoch `start`: what the
/// published code does at the boundary.
static double chained(double base, double minimum, int epochs, int start, int epoch) {
  double rate = base;
  const auto shape = [&](int e) { return 1 + std::cos(std::acos(-1.0) * e / epochs); };
  for (int e = start + 1; e <= epoch; ++e)
    rate = minimum + (rate - minimum) * shape(e) / shape(e - 1);
  return rate;
}

TEST_CASE("stages: published learning rates restart at a boundary, the paper's do not") {
  for (const char* preset : {"nb201-progressive", "darts-cifar10", "darts-imagenet"})
    for (const char* recipe : {"published", "paper"}) {
      CAPTURE(preset);
      SearchOptions o = preset_options(preset, recipe);
      o.out = "run";
      o.validate();
      const auto stages = stages_of(o, o.keep_ops[0]);
      for (int epoch = 0; epoch < o.epochs; ++epoch) {
        const double rate = weight_learning_rate(o, stage_at(stages, epoch), epoch);
        double expected =
            cosine_learning_rate(o.learning_rate, o.learning_rate_min, epoch, o.epochs);
        if (epoch < o.warmup_epochs) {
          expected = o.learning_rate * (epoch + 1) / o.warmup_epochs;
        } else if (o.recipe == "published") {
          const bool second = epoch >= stages[1].first_epoch;
          const int start = second ? stages[1].first_epoch : std::max(0, o.warmup_epochs - 1);
          expected = chained(o.learning_rate, o.learning_rate_min, o.epochs, start, epoch);
        }
        CHECK(rate == doctest::Approx(expected).epsilon(1e-12));
      }
    }
  const auto at = [](const char* preset, int epoch) {
    const SearchOptions o = preset_options(preset);
    return weight_learning_rate(o, stage_at(stages_of(o, 5), epoch), epoch);
  };
  // As replayed with the published code.
  CHECK(at("darts-cifar10", 25) == doctest::Approx(0.1));
  CHECK(at("darts-cifar10", 37) == doctest::Approx(0.0316).epsilon(2e-3));
  CHECK(at("nb201-progressive", 75) == doctest::Approx(0.00803).epsilon(2e-3));
  CHECK(at("darts-imagenet", 5) == doctest::Approx(0.4955).epsilon(2e-4));
  CHECK(at("darts-imagenet", 25) == doctest::Approx(0.5));
}

TEST_CASE("stages: those that start anew have a cosine each, and dropout that falls as published") {
  SearchOptions o =
      resolve_options({}, {{"method", "p-darts", ""}, {"space", "darts", ""}, {"out", "run", ""}});
  o.validate();
  const auto stages = stages_of(o, 8);
  REQUIRE(stages.size() == 3);
  const double first[] = {0, 0.4, 0.7};
  for (int epoch = 0; epoch < 75; ++epoch) {
    CAPTURE(epoch);
    const Stage& stage = stage_at(stages, epoch);
    const int e = epoch % 25;
    CHECK(stage.cells == o.stage_cells[static_cast<std::size_t>(epoch / 25)]);
    CHECK(weight_learning_rate(o, stage, epoch) ==
          doctest::Approx(0.0125 * (1 + std::cos(std::acos(-1.0) * e / 25))).epsilon(1e-12));
    const double p = first[epoch / 25];
    CHECK(
        skip_dropout(o, stage, epoch) ==
        doctest::Approx(e < 10 ? p * (24 - e) / 25 : p * std::exp(-0.2 * (e - 10))).epsilon(1e-12));
  }
  // Where alpha begins to learn, the first probability is back.
  CHECK(skip_dropout(o, stages[2], 50 + 9) == doctest::Approx(0.42));
  CHECK(skip_dropout(o, stages[2], 50 + 10) == 0.7);
  CHECK(skip_dropout(o, stages[2], 74) == doctest::Approx(0.7 * std::exp(-2.8)));
  // A warm-up belongs to each stage, moves by step within it, and does not change what follows.
  o.warmup_epochs = 5;
  o.recipe = "paper";
  CHECK(weight_learning_rate(o, stages[1], 25 + 1) == doctest::Approx(0.01));
  CHECK(weight_learning_rate(o, stages[1], 25 + 5, 0.5) ==
        doctest::Approx(0.0125 * (1 + std::cos(std::acos(-1.0) * 5.5 / 25))));
  // Weights and alpha of each stage are others; without stages that start anew there is one seed.
  CHECK(stage_seed(o, stages[0]) == o.seed);
  CHECK(stage_seed(o, stages[1]) != stage_seed(o, stages[2]));
  const SearchOptions plain = preset_options("darts-cifar10");
  CHECK(stage_seed(plain, stages_of(plain, 7)[1]) == plain.seed);
}

TEST_CASE("stages: recipes differ where the paper and its code do") {
  CHECK(preset_options("darts-cifar10").partial_channels == std::vector<int>{6, 4});
  CHECK(preset_options("darts-cifar10", "paper").partial_channels == std::vector<int>{6, 3});
  CHECK(preset_options("darts-cifar10").keep_ops == std::vector<int>{7, 4});
  CHECK(preset_options("darts-cifar10", "paper").keep_ops == std::vector<int>{8, 4});
  CHECK(preset_options("darts-cifar10", "paper").none_op);
  CHECK(preset_options("darts-imagenet").partial_channels == std::vector<int>{6, 3});
}

TEST_CASE("stages: lists that do not fit each other, the channels or the operations are refused") {
  const auto refused = [](std::vector<GivenOption> given,
                          std::initializer_list<std::string> parts) {
    given.insert(given.begin(), {{"out", "run", ""}, {"alpha-start-epoch", "1", ""}});
    check_fails([&] { resolve_options({}, given).validate(); }, parts);
  };
  refused({{"partial-channels", "4,2", ""}}, {"--partial-channels 4,2", "1 value"});
  refused({{"partial-channels", "4,2", ""}, {"stage-epochs", "5,5,5", ""}},
          {"--partial-channels 4,2", "3 values"});
  refused({{"partial-channels", "4,2", ""}, {"stage-epochs", "5,5", ""}, {"keep-ops", "5", ""}},
          {"--keep-ops 5", "2 values"});
  refused({{"partial-channels", "2,4", ""}, {"stage-epochs", "5,5", ""}},
          {"--partial-channels 2,4"});
  refused({{"partial-channels", "3", ""}}, {"--partial-channels 3", "divisors", "16"});
  refused({{"partial-channels", "4,2", ""}, {"stage-epochs", "5,5", ""}, {"keep-ops", "5,6", ""}},
          {"--keep-ops 5,6", "5"});
  refused({{"partial-channels", "4,2", ""}, {"stage-epochs", "5,5", ""}, {"keep-ops", "4,3", ""}},
          {"--keep-ops 4,3", "first stage"});
  refused({{"none-op", "true", ""}}, {"--none-op true", "nas-bench-201"});
  refused({{"preset", "nb201-progressive", ""}, {"epochs", "10", ""}},
          {"--stage-epochs 50,50", "10"});
  const SearchOptions shorter =
      resolve_options({}, {{"preset", "nb201-progressive", ""}, {"stage-epochs", "3,2", ""}});
  CHECK(shorter.epochs == 5);
}
