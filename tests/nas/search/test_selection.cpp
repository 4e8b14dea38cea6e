// SPDX-License-Identifier: MIT
// The decisions of a selection by themselves: on an accuracy that is known as a function of theta.
#include "nas/search/perturbation_selection.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/nas/search/selection_judge.h"
#include "tests/support/option_files.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;
using test_files::TemporaryFolder;

namespace {

EdgeWeights alike(const SearchSpace& space, bool none) {
  const auto [edges, operations] = theta_shape(space, none);
  return EdgeWeights(static_cast<std::size_t>(edges),
                     std::vector<double>(static_cast<std::size_t>(operations), 1.0 / operations));
}

std::vector<SelectionDecision> decide_all(PerturbationSelection& selection, Worth& worth) {
  std::vector<SelectionDecision> all;
  while (!selection.complete()) all.push_back(*selection.decide(std::ref(worth)));
  return all;
}

std::vector<std::string> places(const std::vector<SelectionDecision>& decisions) {
  std::vector<std::string> all;
  for (const SelectionDecision& d : decisions) all.push_back(d.place);
  return all;
}

std::size_t index_of(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

}  // namespace

TEST_CASE("selection: in NAS-Bench-201 every edge keeps what is worth most, `none` included") {
  Worth worth{random_weights(nb201(), false, 1)};
  worth.worth[2][0] = 50;  // none
  PerturbationSelection selection(nb201(), false, alike(nb201(), false), {}, 5);
  CHECK(selection.decisions() == 6);
  CHECK(selection.rounds() == 6);
  const std::vector<SelectionDecision> decisions = decide_all(selection, worth);
  const std::vector<std::string> edges = nb201().edges(), operations = nb201().operations(false);
  CHECK(worth.seen.size() == 30);
  EdgeWeights expected = alike(nb201(), false);
  auto seen = worth.seen.begin();
  for (const SelectionDecision& d : decisions) {
    const std::size_t edge = index_of(edges, d.place);
    REQUIRE(edge < edges.size());
    // One operation is left out, the others keep their weight.
    for (std::size_t op = 0; op < operations.size(); ++op, ++seen) {
      EdgeWeights probe = expected;
      probe[edge][op] = 0;
      CHECK(*seen == probe);
      CHECK(d.probes.at(op).removed == operations[op]);
    }
    CHECK(d.kept == std::vector<std::string>{operations[largest(worth.worth[edge])]});
    expected[edge].assign(operations.size(), 0);
    expected[edge][largest(worth.worth[edge])] = 1;
  }
  CHECK(selection.theta() == expected);
  const std::vector<std::string> order = places(decisions);
  CHECK(std::set<std::string>(order.begin(), order.end()).size() == 6);
}

TEST_CASE("selection: in the DARTS space cells take turns, then nodes keep two inputs") {
  for (const bool none : {false, true}) {
    CAPTURE(none);
    Worth worth{random_weights(darts(), none, 2)};
    if (none)
      for (auto& row : worth.worth) row[0] = 1000;  // worth most, and never found
    PerturbationSelection selection(darts(), none, alike(darts(), none), {}, 5);
    CHECK(selection.decisions() == 34);
    CHECK(selection.rounds() == 17);
    const std::vector<SelectionDecision> decisions = decide_all(selection, worth);
    const std::vector<std::string> edges = darts().edges(), operations = darts().operations(none);
    std::vector<double> best;
    for (const auto& row : worth.worth)
      best.push_back(*std::max_element(row.begin() + none, row.end()));
    for (std::size_t i = 0; i < decisions.size(); ++i) {
      const SelectionDecision& d = decisions[i];
      CHECK(d.number == static_cast<int>(i) + 1);
      CHECK(d.of == 34);
      CHECK(d.place.starts_with(i % 2 ? "reduce" : "normal"));
      CHECK(d.kind == (i < 28 ? "operation" : "inputs"));
      if (d.kind == "operation") {
        const std::size_t edge = index_of(edges, d.place);
        CHECK(worth.worth[edge][index_of(operations, d.kept.at(0))] == best[edge]);
        continue;
      }
      std::vector<std::string> inputs;
      for (const std::string& edge : edges)
        if (edge.starts_with(d.place + "<-")) inputs.push_back(edge);
      CHECK(d.probes.size() == inputs.size());
      std::sort(inputs.begin(), inputs.end(), [&](const auto& a, const auto& b) {
        return best[index_of(edges, a)] > best[index_of(edges, b)];
      });
      inputs.resize(2);
      std::sort(inputs.begin(), inputs.end());
      CHECK(d.kept == inputs);
    }
    const std::vector<std::string> order = places(decisions);
    CHECK(std::set<std::string>(order.begin(), order.end()).size() == 34);
    // The cell that is read off is made of what was kept.
    const Architecture found = darts().derive(selection.theta(), none);
    for (const std::string& choice : found.choices) {
      const std::string edge = choice.substr(0, choice.rfind(' '));
      CHECK(std::any_of(decisions.begin(), decisions.end(), [&](const SelectionDecision& d) {
        return d.kind == "operation" && choice == d.place + " " + d.kept[0];
      }));
      const std::string node = edge.substr(0, edge.find("<-"));
      for (const SelectionDecision& d : decisions)
        if (d.kind == "inputs" && d.place == node)
          CHECK(std::find(d.kept.begin(), d.kept.end(), edge) != d.kept.end());
    }
    CHECK(found.genotype.find("none") == std::string::npos);
  }
}

TEST_CASE("selection: pruned operations are not tried, a single one is no question") {
  std::vector<std::uint8_t> kept(30, 1);
  for (const int entry : {0, 2, 5, 6, 7, 8}) kept[static_cast<std::size_t>(entry)] = 0;
  Worth worth{random_weights(nb201(), false, 3)};
  PerturbationSelection selection(nb201(), false, alike(nb201(), false), kept, 5);
  int expected = 0;
  for (int i = 0; i < 6; ++i) expected += selection.evaluations(i);
  CHECK(expected == 3 + 4 * 5);
  for (const SelectionDecision& d : decide_all(selection, worth)) {
    if (d.place == "1<-0") {
      CHECK(d.probes.size() == 3);
      CHECK(d.kept[0] != "none");
      CHECK(d.kept[0] != "nor_conv_1x1");
    }
    if (d.place == "2<-0") {
      CHECK(d.probes.empty());
      CHECK(d.kept[0] == "avg_pool_3x3");
    }
  }
  CHECK(static_cast<int>(worth.seen.size()) == expected);
}

TEST_CASE("selection: weights of edges stay until an input is dropped") {
  EdgeWeights start = alike(darts(), false);
  for (auto& row : start) row.push_back(0.25);
  Worth worth{random_weights(darts(), false, 8)};
  for (auto& row : worth.worth) row.push_back(0);
  PerturbationSelection selection(darts(), false, start, {}, 5);
  const std::vector<SelectionDecision> decisions = decide_all(selection, worth);
  for (const EdgeWeights& theta : worth.seen)
    for (const auto& row : theta) CHECK((row.back() == 0.25 || row.back() == 0));
  for (const auto& row : worth.seen.front()) CHECK(row.back() == 0.25);
  int kept = 0;
  const EdgeWeights theta = selection.theta(), found = selection.found();
  for (std::size_t edge = 0; edge < theta.size(); ++edge) {
    CHECK(std::count(theta[edge].begin(), theta[edge].end(), 0.25) == (theta[edge][7] > 0 ? 2 : 0));
    CHECK(found[edge].size() == 7);
    kept += theta[edge][7] > 0;
  }
  CHECK(kept == 16);
  CHECK(darts().derive(found, false).choices.size() == 16);
}

TEST_CASE("selection: of equal accuracies the larger loss decides, then the first") {
  for (const bool losses : {false, true}) {
    PerturbationSelection selection(nb201(), false, alike(nb201(), false), {}, 5);
    int call = 0;
    const auto decision = selection.decide([&](const EdgeWeights&) {
      const int op = call++;
      return SelectionProbe{"", op == 0 ? 40.0 : 30.0, losses && op == 3 ? 2.5 : 2.0};
    });
    REQUIRE(decision);
    CHECK(decision->kept[0] == (losses ? "nor_conv_3x3" : "skip_connect"));
  }
}

TEST_CASE("selection: the seed draws the order; an interrupted decision changes nothing") {
  std::set<std::vector<std::string>> orders;
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    Worth worth{random_weights(nb201(), false, 4)};
    PerturbationSelection selection(nb201(), false, alike(nb201(), false), {}, seed);
    int left = 3;
    const auto interrupted = [&](const EdgeWeights& theta) {
      return left-- > 0 ? worth(theta) : std::nullopt;
    };
    CHECK_FALSE(selection.decide(interrupted));
    CHECK(selection.done() == 0);
    CHECK(selection.theta() == alike(nb201(), false));
    orders.insert(places(decide_all(selection, worth)));
  }
  CHECK(orders.size() > 2);
}

TEST_CASE("selection: goes on from an archive at every decision") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path / "state.safetensors";
  const EdgeWeights start = random_weights(darts(), false, 6);
  Worth worth{random_weights(darts(), false, 7)};
  PerturbationSelection whole(darts(), false, start, {}, 9);
  const std::vector<std::string> expected = places(decide_all(whole, worth));
  std::vector<std::string> order;
  std::optional<PerturbationSelection> part(std::in_place, darts(), false, start,
                                            std::vector<std::uint8_t>{}, std::uint64_t{9});
  while (!part->complete()) {
    order.push_back(part->decide(std::ref(worth))->place);
    part->tuned = 3;
    StateArchive saved({"search", ""});
    part->archive(saved);
    saved.write(file);
    part.emplace(darts(), false, start, std::vector<std::uint8_t>{}, std::uint64_t{9});
    StateArchive loaded(file, {"search", ""});
    part->archive(loaded);
    CHECK(part->tuned == 3);
  }
  CHECK(order == expected);
  CHECK(part->theta() == whole.theta());
  // Of another space.
  PerturbationSelection other(nb201(), false, alike(nb201(), false), {}, 9);
  StateArchive loaded(file, {"search", ""});
  check_fails([&] { other.archive(loaded); }, {file.string(), "6 edges"});
}
