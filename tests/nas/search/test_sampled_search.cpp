// SPDX-License-Identifier: MIT
// Searches that end with the best of sampled cells: what is judged, against each cell alone on the
// same supernet; stopped, killed and resumed.
#include "nas/search/sampled_selection.h"
#include "tests/nas/search/selection_runs.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int cells = few ? 2 : 5;

SearchOptions sampling(const fs::path& out, const char* method = "setn") {
  SearchOptions o = selecting(out);
  o.method = method;
  o.partial_channels = {1};
  o.select = "sampled";
  o.select_cells = cells;
  return o;
}

}  // namespace

TEST_CASE("sampled: each cell is judged alone on the supernet, and the best is found") {
  const ScratchFolder scratch;
  for (const char* norm : {"running", "batch"}) {
    CAPTURE(norm);
    if (few && norm == std::string("batch")) continue;
    SearchOptions o = sampling(scratch / norm);
    o.evaluation_norm = norm;
    const SearchResult result = search(o);
    Ended ended(o);
    const PassSetting alone{.name = "alone", .theta = PassTheta::given, .norm = evaluation_norm(o)};
    const SearchSpace& space = search_space(o.space);
    const EdgeWeights mean = ended.method->law().mean();
    const std::vector<nlohmann::json> lines = decisions_of(o.out);
    REQUIRE(lines.size() == cells);
    std::string found;
    double most = -1, least = 0;
    for (int number = 0; number < cells; ++number) {
      const EdgeWeights drawn = SampledSelection::draw(mean, o.seed, number);
      std::vector<double> theta;
      for (const auto& row : drawn)
        for (const double weight : row)
          theta.push_back(weight == *std::max_element(row.begin(), row.end()) ? 1 : 0);
      const Architecture cell = space.derive(drawn, false);
      const nlohmann::json& line = lines[static_cast<std::size_t>(number)];
      CHECK(line.at("cell") == cell.genotype);
      if (line.contains("same_as")) continue;
      // All see the same images.
      const EpochTotals totals = ended.evaluate(theta, 0, alone);
      CHECK(line.at("val_top1").get<double>() == doctest::Approx(totals.top1_percent()));
      CHECK(line.at("val_loss").get<double>() == doctest::Approx(totals.mean_loss()).epsilon(1e-5));
      const double top1 = line.at("val_top1"), loss = line.at("val_loss");
      if (top1 < most || (top1 == most && loss >= least)) continue;
      found = cell.genotype;
      most = top1;
      least = loss;
    }
    CHECK(result.genotype == found);
    CHECK(read_text_file(o.out / "genotype.txt") == found + "\n");
    REQUIRE(result.argmax);
    CHECK(result.argmax->genotype == ended.method->choose(space, false).genotype);
    const std::string text = read_text_file(o.out / "selection.jsonl");
    const auto last = nlohmann::json::parse(text.substr(text.rfind('\n', text.size() - 2) + 1));
    CHECK(last.at("genotype") == found);
    CHECK(last.at("argmax") == result.argmax->genotype);
  }
}

TEST_CASE("sampled: stopped anywhere or killed and resumed, it ends as an uninterrupted one") {
  const ScratchFolder scratch;
  const SearchOptions whole = sampling(scratch / "whole");
  // A cell takes 2 batches, on the host executor one.
  const std::vector<int> stops = few ? std::vector<int>{1} : std::vector<int>{1, 2, 5},
                         kills = few ? std::vector<int>{} : std::vector<int>{1, 5};
  search(whole, Snapshots(whole.out, kills));
  for (const int steps : stops) {
    CAPTURE(steps);
    SearchOptions part = whole;
    part.out = scratch / ("part-" + std::to_string(steps)).c_str();
    CHECK(search(part, Interrupter(steps, "selection")).interrupted_by_signal == SIGINT);
    part.resume = true;
    CHECK(search(part).interrupted_by_signal == 0);
    check_same_selection(whole.out, part.out);
  }
  for (const int steps : kills) {
    CAPTURE(steps);
    SearchOptions killed = whole;
    killed.out = Snapshots::copy_of(whole.out, steps);
    CHECK(decisions_of(killed.out).size() == static_cast<std::size_t>(steps / 2));
    killed.resume = true;
    search(killed);
    check_same_selection(whole.out, killed.out);
  }
}

TEST_CASE("sampled: what was begun is gone on with in the same way, or refused" *
          doctest::skip(few)) {
  const ScratchFolder scratch;
  SearchOptions o = sampling(scratch / "run");
  search(o);
  o.resume = true;
  o.select_cells = 6;
  CHECK(contains(failure_of(o), "begun with --select-cells 5, expected the same"));
  o.select = "argmax";
  o.select_cells = SearchOptions{}.select_cells;
  CHECK(contains(failure_of(o), "holds a selection, expected --select sampled"));
  o.select = "perturbation";
  CHECK(contains(failure_of(o), "holds a selection, expected --select sampled"));
  o.out = scratch / "bad";
  o.resume = false;
  o.select_cells = 3;
  CHECK(contains(failure_of(o), "--select-cells 3: expected no value without --select sampled"));
  o.select = "sampled";
  o.select_cells = 0;
  CHECK(contains(failure_of(o), "--select-cells 0: expected 1 to 100000"));
  CHECK_FALSE(fs::exists(o.out));
}

TEST_CASE("sampled: SETN ends so unless told otherwise; every method and space can" *
          doctest::skip(few)) {
  const ScratchFolder scratch;
  CHECK(resolve_options({}, {{"method", "setn", "--method"}}).select == "sampled");
  CHECK(resolve_options({}, {{"method", "gdas", "--method"}}).select == "argmax");
  SearchOptions plain = sampling(scratch / "plain");
  plain.select = "argmax";
  plain.select_cells = SearchOptions{}.select_cells;
  CHECK_FALSE(search(plain).argmax);
  CHECK_FALSE(fs::exists(plain.out / "selection.jsonl"));
  for (const char* method : {"drnas", "pc-darts"}) {
    CAPTURE(method);
    const SearchOptions o = sampling(scratch / method, method);
    CHECK(search(o).argmax);
    CHECK(decisions_of(o.out).size() == cells);
  }
  SearchOptions o = sampling(scratch / "darts");
  o.space = "darts";
  o.cells = 3;
  o.image_size = 16;
  o.stage_epochs = {1};
  o.keep_ops = {7};
  const SearchResult result = search(o);
  CHECK(search_space("darts").parse(result.genotype, "genotype").genotype == result.genotype);
}

TEST_CASE("sampled: tensors peak where the plan says") {
  const ScratchFolder scratch;
  check_peak_is_planned(sampling(scratch / "planned"));
}
