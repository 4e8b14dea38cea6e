// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_cell.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <set>

#include "tests/support/option_files.h"

using drnas::Nb201Cell;
using drnas::test_files::check_fails;

TEST_CASE("genotype: the published cell") {
  // Edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
  const Nb201Cell cell{{3, 3, 3, 1, 3, 3}};
  const std::string text =
      "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|"
      "nor_conv_3x3~2|";
  CHECK(to_string(cell) == text);
  CHECK(drnas::parse_nb201(text) == cell);
}

TEST_CASE("genotype: every cell has a string and a number of its own, both reversible") {
  std::set<std::string> seen;
  int wrong = 0;
  for (int i = 0; i < Nb201Cell::count; ++i) {
    const Nb201Cell cell = Nb201Cell::from_index(i);
    const std::string text = to_string(cell);
    wrong += cell.index() != i || drnas::parse_nb201(text) != cell || !seen.insert(text).second;
  }
  CHECK(wrong == 0);
  CHECK(Nb201Cell::from_index(0) == Nb201Cell{});
  CHECK(Nb201Cell{{0, 0, 0, 0, 0, 4}}.index() == 4);
  CHECK(Nb201Cell{{1, 0, 0, 0, 0, 0}}.index() == 3125);
  check_fails([] { Nb201Cell::from_index(-1); }, {"-1", "0 to 15624"});
  check_fails([] { Nb201Cell::from_index(15625); }, {"15625", "0 to 15624"});
}

TEST_CASE("genotype: wrong strings name place and expectation") {
  const auto parse = [](const std::string& text) { return [text] { drnas::parse_nb201(text); }; };
  check_fails(parse(""), {"''", "'|' of node 1", "character 1"});
  check_fails(parse("|skip~0|+"), {"'|skip~0|+'", "edge 1<-0", "nor_conv_3x3", "character 2"});
  check_fails(parse("|none~1|"), {"edge 1<-0", "'~0|'", "character 2"});
  check_fails(parse("|none~0||none~0|none~1|"), {"'+|' of node 2", "character 9"});
  check_fails(parse("|none~0|+|none~0|none~0|+"), {"edge 2<-1", "'~1|'", "character 18"});
  const std::string whole = to_string(Nb201Cell{{4, 3, 2, 1, 0, 4}});
  check_fails(parse(whole + " "), {"the end", "character " + std::to_string(whole.size() + 1)});
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    check_fails(parse(whole.substr(0, cut)), {"expected", "at character"});
  }
}

TEST_CASE("genotype: largest mean per edge, the first of equal ones") {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(0.0, 0.5);
  for (int round = 0; round < 50; ++round) {
    Nb201Cell expected;
    std::vector<std::vector<double>> mean(6, std::vector<double>(5));
    for (std::size_t e = 0; e < 6; ++e) {
      for (double& v : mean[e]) v = uniform(random);
      expected.op[e] = static_cast<int>(random() % 5);
      mean[e][static_cast<std::size_t>(expected.op[e])] = 0.6;
    }
    CHECK(drnas::cell_of_largest(mean) == expected);
  }
  std::vector<std::vector<double>> ties(6, std::vector<double>(5, 0.2));
  CHECK(drnas::cell_of_largest(ties) == Nb201Cell{});
  ties[2] = {0.1, 0.1, 0.3, 0.1, 0.3};
  CHECK(drnas::cell_of_largest(ties).op[2] == 2);
}

TEST_CASE("genotype: a matrix of another shape or with NaN is refused") {
  std::vector<std::vector<double>> mean(6, std::vector<double>(5, 0.2));
  mean[4][1] = std::nan("");
  check_fails([&] { drnas::cell_of_largest(mean); }, {"edge 3<-1", "not a number"});
  mean[4].pop_back();
  check_fails([&] { drnas::cell_of_largest(mean); }, {"edge 3<-1", "4 values", "expected 5"});
  mean.pop_back();
  check_fails([&] { drnas::cell_of_largest(mean); }, {"5 edges", "expected 6"});
}
