// SPDX-License-Identifier: MIT
// The best of sampled cells by itself: how they are drawn, and which is found on an accuracy that
// is known as a function of theta.
#include "nas/search/sampled_selection.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "tests/nas/search/selection_judge.h"
#include "tests/support/option_files.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;
using test_files::TemporaryFolder;

namespace {

/// Rows of weights that sum to one.
EdgeWeights random_theta(const SearchSpace& space, bool none, std::uint64_t seed,
                         double spread = 1) {
  EdgeWeights theta = random_weights(space, none, seed, spread);
  for (auto& row : theta) {
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    for (double& weight : row) weight /= sum;
  }
  return theta;
}

std::vector<nlohmann::json> judge_all(SampledSelection& selection, Worth& judge) {
  std::vector<nlohmann::json> lines;
  while (!selection.complete())
    lines.push_back(nlohmann::json::parse(selection.next(std::ref(judge))->json));
  return lines;
}

}  // namespace

TEST_CASE("sampled cells: an edge's operation is drawn by its share, whatever the others are") {
  EdgeWeights theta = random_theta(nb201(), false, 1);
  theta[2] = {0.5, 0, 0.25, 0, 0};  // pruned operations; the row need not sum to one
  constexpr int draws = 20000;
  std::vector<std::vector<int>> counts(6, std::vector<int>(5, 0));
  std::vector<int> both(25, 0);  // of edges 0 and 1
  for (int number = 0; number < draws; ++number) {
    const EdgeWeights drawn = SampledSelection::draw(theta, 7, number);
    for (std::size_t edge = 0; edge < 6; ++edge) {
      double sum = 0, expected = 0;
      for (std::size_t op = 0; op < 5; ++op) {
        sum += drawn[edge][op];
        expected += theta[edge][op];
      }
      CHECK(sum == doctest::Approx(expected).epsilon(1e-14));
      ++counts[edge][largest(drawn[edge])];
    }
    ++both[5 * largest(drawn[0]) + largest(drawn[1])];
  }
  const auto check = [&](int count, double share) {
    CHECK(std::abs(count - draws * share) <= 5 * std::sqrt(draws * share * (1 - share)));
  };
  for (std::size_t edge = 0; edge < 6; ++edge)
    for (std::size_t op = 0; op < 5; ++op)
      check(counts[edge][op], theta[edge][op] / (edge == 2 ? 0.75 : 1));
  for (std::size_t a = 0; a < 5; ++a)
    for (std::size_t b = 0; b < 5; ++b) check(both[5 * a + b], theta[0][a] * theta[1][b]);
  CHECK(SampledSelection::draw(theta, 7, 3) == SampledSelection::draw(theta, 7, 3));
  CHECK(SampledSelection::draw(theta, 7, 3) != SampledSelection::draw(theta, 7, 4));
  CHECK(SampledSelection::draw(theta, 7, 3) != SampledSelection::draw(theta, 8, 3));
}

TEST_CASE("sampled cells: the most accurate of those drawn is found, each judged once") {
  const EdgeWeights theta = random_theta(nb201(), false, 2, 2);
  Worth judge{random_theta(nb201(), false, 3)};
  SampledSelection selection(nb201(), false, theta, 60, 5);
  CHECK(selection.decisions() == 60);
  int expected = 0;
  for (int cell = 0; cell < 60; ++cell) expected += selection.evaluations(cell);
  const std::vector<nlohmann::json> lines = judge_all(selection, judge);
  REQUIRE(lines.size() == 60);
  std::map<std::string, int> first;
  double best = -1;
  for (int number = 0; number < 60; ++number) {
    const nlohmann::json& line = lines[static_cast<std::size_t>(number)];
    const Architecture cell = nb201().derive(SampledSelection::draw(theta, 5, number), false);
    CHECK(line.at("decision") == number + 1);
    CHECK(line.at("of") == 60);
    CHECK(line.at("cell") == cell.genotype);
    const auto [known, added] = first.try_emplace(cell.genotype, number);
    CHECK(line.contains("same_as") != added);
    if (!added) CHECK(line.at("same_as") == known->second + 1);
    if (added) best = std::max(best, line.at("val_top1").get<double>());
  }
  CHECK(first.size() < 60);  // or no draw came twice
  CHECK(first.size() > 5);
  CHECK(judge.seen.size() == first.size());
  CHECK(static_cast<int>(judge.seen.size()) == expected);
  // Alone, an edge's operation has all of its weight.
  for (const EdgeWeights& seen : judge.seen)
    for (const auto& row : seen) {
      CHECK(std::count(row.begin(), row.end(), 1.0) == 1);
      CHECK(std::count(row.begin(), row.end(), 0.0) == 4);
    }
  CHECK(judge(selection.found())->top1 == best);
}

TEST_CASE("sampled cells: of equal accuracies the lower loss wins, then the earlier draw") {
  const EdgeWeights theta = random_theta(nb201(), false, 4);
  for (const bool losses : {false, true}) {
    SampledSelection selection(nb201(), false, theta, 8, 5);
    for (int call = 0; !selection.complete(); ++call)
      selection.next([&](const EdgeWeights&) {
        return SelectionProbe{"", call == 0 ? 20.0 : 30.0, losses && call == 3 ? 1.5 : 2.0};
      });
    const EdgeWeights expected = SampledSelection::draw(theta, 5, losses ? 3 : 1);
    CHECK(nb201().derive(selection.found(), false).genotype ==
          nb201().derive(expected, false).genotype);
  }
}

TEST_CASE("sampled cells: in the DARTS space operations and inputs are drawn, `none` never") {
  for (const bool none : {false, true}) {
    CAPTURE(none);
    EdgeWeights theta = random_theta(darts(), none, 6);
    for (auto& row : theta) row.push_back(0.5);  // weights of edges
    Worth judge{random_theta(darts(), none, 7)};
    SampledSelection selection(darts(), none, theta, 20, 5);
    const std::vector<nlohmann::json> lines = judge_all(selection, judge);
    const std::size_t columns = darts().operations(none).size();
    std::set<std::vector<int>> inputs;
    for (std::size_t i = 0; i < judge.seen.size(); ++i) {
      std::vector<int> used;
      for (const auto& row : judge.seen[i]) {
        used.push_back(row.back() == 0.5);
        CHECK(std::count(row.begin(), row.end(), 0.5) == 2 * used.back());
        CHECK(std::count(row.begin(), row.end(), 0.0) ==
              static_cast<std::ptrdiff_t>(columns + 1) - 2 * used.back());
        if (none) CHECK(row[0] == 0);
      }
      CHECK(std::count(used.begin(), used.end(), 1) == 16);
      inputs.insert(used);
      EdgeWeights seen = judge.seen[i];
      for (auto& row : seen) row.resize(columns);
      CHECK(darts().derive(seen, none).genotype == lines[i].at("cell"));
    }
    CHECK(inputs.size() > 10);
    for (const auto& row : selection.found()) CHECK(row.size() == columns);
  }
}

TEST_CASE("sampled cells: an interrupted judgement changes nothing; goes on from an archive") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path / "state.safetensors";
  const EdgeWeights theta = random_theta(nb201(), false, 8);
  Worth judge{random_theta(nb201(), false, 9)};
  SampledSelection whole(nb201(), false, theta, 12, 5);
  const std::vector<nlohmann::json> expected = judge_all(whole, judge);
  std::optional<SampledSelection> part(std::in_place, nb201(), false, theta, 12, std::uint64_t{5});
  std::vector<nlohmann::json> lines;
  while (!part->complete()) {
    const int done = part->done();
    if (part->evaluations(done) > 0) {
      CHECK_FALSE(part->next([](const EdgeWeights&) { return std::nullopt; }));
      CHECK(part->done() == done);
    }
    lines.push_back(nlohmann::json::parse(part->next(std::ref(judge))->json));
    StateArchive saved({"search", ""});
    part->archive(saved);
    saved.write(file);
    part.emplace(nb201(), false, theta, 12, std::uint64_t{5});
    StateArchive loaded(file, {"search", ""});
    part->archive(loaded);
  }
  CHECK(lines == expected);
  CHECK(part->found() == whole.found());
  SampledSelection other(nb201(), false, theta, 13, 5);
  StateArchive loaded(file, {"search", ""});
  check_fails([&] { other.archive(loaded); }, {file.string(), "--select-cells 12"});
}
