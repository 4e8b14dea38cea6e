// SPDX-License-Identifier: MIT
#include "nas/diagnostics/early_warning.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

EpochSigns signs(int epoch, int skips = 0, std::optional<double> eigenvalue = {},
                 double val_loss = 1, int places = 6) {
  return {epoch, skips, places, val_loss, eigenvalue, "cell " + std::to_string(epoch)};
}

}  // namespace

TEST_CASE("early warning: three skip connections of six or of eight edges") {
  for (const int places : {6, 8}) {
    EarlyWarnings warnings;
    const int counts[] = {1, 2, 3, 4, 2, 6, 5, 0};
    const int good[] = {0, 0, 2, 0, 0, 5, 0, 0};  // the epoch to go back to, where it is raised
    for (int i = 0; i < 8; ++i) {
      const auto found = warnings.observe(signs(i + 1, counts[i], {}, 1, places));
      REQUIRE(found.size() == (good[i] ? 1u : 0u));
      if (found.empty()) continue;
      CHECK(found[0].alarm == Alarm::skip);
      CHECK(found[0].good_epoch == good[i]);
      CHECK(found[0].good_genotype == "cell " + std::to_string(good[i]));
      CHECK(found[0].text.find(std::to_string(counts[i]) + " of " + std::to_string(places)) !=
            std::string::npos);
      CHECK(found[0].text.find('\n') == std::string::npos);
    }
  }
  // Nothing before it to go back to.
  CHECK(EarlyWarnings().observe(signs(1, 6))[0].good_epoch == 1);
}

TEST_CASE("early warning: the dominant eigenvalue rises by the rule of RobustDARTS") {
  auto rng = generator(74);
  std::normal_distribution<double> normal;
  int raised = 0;
  for (int round = 0; round < 20; ++round) {
    EarlyWarnings warnings;
    std::vector<std::pair<int, double>> values;  // epoch, eigenvalue
    bool before = false;
    double level = 1;
    for (int epoch = 1; epoch <= 40; ++epoch) {
      level *= std::exp(0.2 * normal(rng));
      std::optional<double> eigenvalue;
      if (epoch % 2) eigenvalue = normal(rng) > 0 ? level : -level;
      const auto found = warnings.observe(signs(epoch, 0, eigenvalue));
      if (!eigenvalue) {
        CHECK(found.empty());
        continue;
      }
      values.emplace_back(epoch, *eigenvalue);
      const std::size_t n = values.size();
      double now = 0, then = 0;
      for (std::size_t i = 0; n >= 9 && i < 5; ++i) {
        now += std::abs(values[n - 1 - i].second) / 5;
        then += std::abs(values[n - 5 - i].second) / 5;
      }
      const bool rises = n >= 9 && now > 1.3 * then;
      REQUIRE(found.size() == (rises && !before ? 1u : 0u));
      before = rises;
      if (found.empty()) continue;
      ++raised;
      CHECK(found[0].alarm == Alarm::eigenvalue);
      CHECK(found[0].good_epoch == values[n - 5].first);
      CHECK(found[0].good_genotype == "cell " + std::to_string(values[n - 5].first));
    }
  }
  CHECK(raised > 5);
}

TEST_CASE("early warning: a validation loss that is not finite") {
  EarlyWarnings warnings;
  CHECK(warnings.observe(signs(1)).empty());
  for (const double bad : {NAN, INFINITY}) {
    const auto found = warnings.observe(signs(2, 0, {}, bad));
    REQUIRE(found.size() == 1);
    CHECK(found[0].alarm == Alarm::nan);
    CHECK(warnings.observe(signs(3, 0, {}, bad)).empty());
    CHECK(warnings.observe(signs(4)).empty());
  }
}

TEST_CASE("early warning: what --stop-on takes") {
  CHECK(parse_alarms("").empty());
  CHECK(parse_alarms("nan,skip") == std::vector{Alarm::nan, Alarm::skip});
  for (const Alarm alarm : {Alarm::skip, Alarm::eigenvalue, Alarm::nan})
    CHECK(parse_alarms(to_string(alarm)) == std::vector{alarm});
  CHECK_THROWS_WITH_AS(parse_alarms("skip,"),
                       "--stop-on skip,: '', expected skip, eigenvalue or nan, several joined by "
                       "commas",
                       Error);
  CHECK_THROWS_AS(parse_alarms("skips"), Error);
}
