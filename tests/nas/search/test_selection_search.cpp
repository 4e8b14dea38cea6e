// SPDX-License-Identifier: MIT
// Searches that end with a selection by perturbation: what is decided, against the algorithm
// written out by hand on the same supernet; stopped, killed and resumed.
#include "tests/nas/search/selection_runs.h"

using namespace drnas;
using namespace drnas::test;

namespace {

SearchOptions perturbing(const fs::path& out, int tune = 1) {
  SearchOptions o = selecting(out);
  o.select = "perturbation";
  o.select_tune = tune;
  return o;
}

}  // namespace

TEST_CASE("selection: decisions are those of the algorithm written out on the same supernet") {
  const ScratchFolder scratch;
  SearchOptions o = perturbing(scratch / "selected");
  const SearchResult result = search(o);
  SearchOptions plain = o;
  plain.out = scratch / "plain";
  plain.select = "argmax";
  plain.select_tune = SearchOptions{}.select_tune;
  const SearchResult argmax = search(plain);
  CHECK(comparable_log(o.out) == comparable_log(plain.out));
  REQUIRE(result.argmax);
  CHECK(result.argmax->genotype == argmax.genotype);
  CHECK_FALSE(argmax.argmax);
  plain.select_tune = o.select_tune;
  Ended ended(plain);
  std::vector<double> theta;
  for (const auto& row : ended.method->law().mean())
    theta.insert(theta.end(), row.begin(), row.end());
  const SearchSpace& space = search_space(o.space);
  const std::vector<std::string> edges = space.edges(), operations = space.operations(false);
  const std::vector<nlohmann::json> decisions = decisions_of(o.out);
  REQUIRE(decisions.size() == 6);
  for (int number = 0; number < 6; ++number) {
    CAPTURE(number);
    const nlohmann::json& decision = decisions[static_cast<std::size_t>(number)];
    const auto edge = static_cast<std::size_t>(
        std::find(edges.begin(), edges.end(), decision["place"]) - edges.begin());
    REQUIRE(edge < edges.size());
    if (number > 0) ended.tune(theta, number - 1);
    std::size_t kept = 0;
    double least = 0, most = 0;
    for (std::size_t op = 0; op < 5; ++op) {
      std::vector<double> without = theta;
      without[5 * edge + op] = 0;
      const EpochTotals totals = ended.evaluate(without, number);
      CHECK(decision["without"][op]["val_top1"].get<double>() == totals.top1_percent());
      CHECK(decision["without"][op]["val_loss"].get<double>() == totals.mean_loss());
      const bool worse = totals.top1_percent() < least ||
                         (totals.top1_percent() == least && totals.mean_loss() > most);
      if (op > 0 && !worse) continue;
      kept = op;
      least = totals.top1_percent();
      most = totals.mean_loss();
    }
    CHECK(decision["kept"] == nlohmann::json::array({operations[kept]}));
    for (std::size_t op = 0; op < 5; ++op) theta[5 * edge + op] = op == kept ? 1 : 0;
  }
  EdgeWeights rows;
  for (auto row = theta.begin(); row != theta.end(); row += 5) rows.emplace_back(row, row + 5);
  CHECK(result.genotype == space.derive(rows, false).genotype);
  CHECK(read_text_file(o.out / "genotype.txt") == result.genotype + "\n");
  const std::string text = read_text_file(o.out / "selection.jsonl");
  const auto last = nlohmann::json::parse(text.substr(text.rfind('\n', text.size() - 2) + 1));
  CHECK(last.at("genotype") == result.genotype);
  CHECK(last.at("argmax") == argmax.genotype);
  CHECK(last.at("table").at("cifar10") == result.table->cifar10);
}

TEST_CASE("selection: stopped anywhere and resumed, it ends bit-equal to an uninterrupted one") {
  const ScratchFolder scratch;
  const SearchOptions whole = perturbing(scratch / "whole");
  search(whole);
  // A decision takes 10 batches, the fine-tuning between two of them 2.
  const std::vector<int> stops = few ? std::vector<int>{8} : std::vector<int>{1, 10, 11, 12, 69};
  for (const int steps : stops) {
    CAPTURE(steps);
    SearchOptions part = whole;
    part.out = scratch / ("part-" + std::to_string(steps)).c_str();
    const SearchResult stopped = search(part, Interrupter(steps, "selection"));
    CHECK(stopped.interrupted_by_signal == SIGINT);
    CHECK(stopped.epochs_done == 1);
    part.resume = true;
    CHECK(search(part).interrupted_by_signal == 0);
    check_same_selection(whole.out, part.out);
  }
}

TEST_CASE("selection: killed, it goes on after its last decision" * doctest::skip(few)) {
  const ScratchFolder scratch;
  const SearchOptions whole = perturbing(scratch / "whole");
  const std::vector<int> steps{8, 11, 30};
  search(whole, Snapshots(whole.out, steps));
  for (const int step : steps) {
    CAPTURE(step);
    SearchOptions killed = whole;
    killed.out = Snapshots::copy_of(whole.out, step);
    CHECK(decisions_of(killed.out).size() == static_cast<std::size_t>((step + 2) / 12));
    killed.resume = true;
    search(killed);
    check_same_selection(whole.out, killed.out);
  }
}

TEST_CASE("selection: where edges have weights they stay, and its cell is found" *
          doctest::skip(few)) {
  const ScratchFolder scratch;
  for (const char* method : {"pc-darts", "gaea-pc-darts"}) {
    CAPTURE(method);
    SearchOptions o = perturbing(scratch / method, 0);
    o.method = method;
    const SearchResult result = search(o);
    CHECK(decisions_of(o.out).size() == 6);
    CHECK(result.argmax);
  }
}

TEST_CASE("selection: a search that has ended can be selected from afterwards" *
          doctest::skip(few)) {
  const ScratchFolder scratch;
  const SearchOptions whole = perturbing(scratch / "whole", 0);
  const SearchResult expected = search(whole);
  SearchOptions o = whole;
  o.out = scratch / "later";
  o.select = "argmax";
  o.select_tune = SearchOptions{}.select_tune;
  CHECK(search(o).genotype == expected.argmax->genotype);
  o.resume = true;
  o.select = "perturbation";
  o.select_tune = 0;
  CHECK(search(o).genotype == expected.genotype);
  CHECK(read_text_file(o.out / "selection.jsonl") == read_text_file(whole.out / "selection.jsonl"));
  o.select_tune = 2;
  CHECK(contains(failure_of(o), "begun with --select-tune 0"));
  o.select = "argmax";
  o.select_tune = SearchOptions{}.select_tune;
  CHECK(contains(failure_of(o), "holds a selection, expected --select perturbation"));
  o.select = "perturbation";
  o.select_tune = 0;
  CHECK(search(o).genotype == expected.genotype);
}

TEST_CASE("selection: lines that the checkpoint has decisions for must be there" *
          doctest::skip(few)) {
  const ScratchFolder scratch;
  SearchOptions o = perturbing(scratch / "run");
  search(o, Interrupter(40, "selection"));
  write_file_atomically(o.out / "selection.jsonl", "{}\n");
  o.resume = true;
  CHECK(contains(failure_of(o), "selection.jsonl: 1 whole lines, expected 3"));
}

TEST_CASE("selection: in the DARTS space, after stages too, its cell is what the decisions keep" *
          doctest::skip(few)) {
  const ScratchFolder scratch;
  SearchOptions o = perturbing(scratch / "darts", 0);
  o.space = "darts";
  o.cells = 3;
  o.limit_train = 16;
  o.batch_size = 8;
  o.epochs = 2;
  o.stage_epochs = {1, 1};
  o.partial_channels = {4, 4};
  o.keep_ops = {7, 2};
  const SearchResult result = search(o);
  const std::vector<nlohmann::json> decisions = decisions_of(o.out);
  REQUIRE(decisions.size() == 34);
  const Architecture found = search_space("darts").parse(result.genotype, "genotype");
  for (const nlohmann::json& d : decisions) {
    if (d["kind"] == "operation") CHECK(d["without"].size() == 2);
    if (d["kind"] != "inputs") continue;
    CHECK(d["kept"].size() == 2);
    for (const nlohmann::json& edge : d["kept"])
      CHECK(std::any_of(found.choices.begin(), found.choices.end(), [&](const std::string& choice) {
        return choice.starts_with(edge.get<std::string>() + " ");
      }));
  }
}

TEST_CASE("selection: tensors peak where the plan says") {
  const ScratchFolder scratch;
  check_peak_is_planned(perturbing(scratch / "planned"));
}

TEST_CASE("selection: options that make no sense are refused" * doctest::skip(few)) {
  const ScratchFolder scratch;
  SearchOptions o = perturbing(scratch / "bad");
  o.select = "best";
  CHECK(contains(failure_of(o), "--select best: expected one of argmax, perturbation, sampled"));
  o.select = "argmax";
  CHECK(contains(failure_of(o), "--select-tune 1: expected no value without --select"));
  o.select = "perturbation";
  o.select_tune = -1;
  CHECK(contains(failure_of(o), "--select-tune -1: expected 0 to 100000"));
  CHECK_FALSE(fs::exists(o.out));
}
