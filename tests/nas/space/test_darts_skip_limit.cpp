// SPDX-License-Identifier: MIT
// Cells of the DARTS space with a limit on identities.
#include <algorithm>
#include <set>

#include "nas/space/darts/darts_genotype.h"
#include "nas/space/darts/darts_space.h"
#include "nas/space/search_space.h"
#include "tests/support/option_files.h"
#include "tests/support/random.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;

namespace {

using Table = std::vector<std::vector<double>>;
using Genes = std::set<std::pair<int, std::string>>;  // row of the edge, operation

const std::vector<std::string> ops = darts_search_ops(true);
constexpr std::size_t none = 0, skip = 3;

Genes genes_of(const DartsCellGenotype& cell) {
  Genes genes;
  for (std::size_t i = 0; i < cell.genes.size(); ++i) {
    const int node = static_cast<int>(i / 2);
    genes.insert({node * (node + 3) / 2 + cell.genes[i].source, cell.genes[i].op});
  }
  return genes;
}

int skips_of(const Genes& genes) {
  return static_cast<int>(std::count_if(
      genes.begin(), genes.end(), [](const auto& gene) { return gene.second == "skip_connect"; }));
}

/// Another way to the rule: the probability of each row's best operation decides which rows stay,
/// two of each node's.
Genes cell_of(const Table& weights) {
  Genes genes;
  int row = 0;
  for (int inputs = 2; inputs <= 5; ++inputs) {
    std::vector<std::pair<double, int>> rows;
    for (int i = 0; i < inputs; ++i, ++row)
      rows.emplace_back(*std::max_element(weights[row].begin() + 1, weights[row].end()), row);
    std::sort(rows.rbegin(), rows.rend());
    for (int i = 0; i < 2; ++i) {
      const std::vector<double>& best = weights[rows[i].second];
      genes.insert(
          {rows[i].second, ops[std::max_element(best.begin() + 1, best.end()) - best.begin()]});
    }
  }
  return genes;
}

Genes limited(Table weights, int most) {
  Genes genes = cell_of(weights);
  while (skips_of(genes) > most) {
    double least = 2;
    int row = -1;
    for (const auto& [edge, op] : genes)
      if (op == "skip_connect" && weights[edge][skip] < least)
        least = weights[edge][skip], row = edge;
    weights[row][skip] = 0;
    genes = cell_of(weights);
  }
  return genes;
}

/// Softmax weights of three operations an edge, as after the last stage; identities are strong.
Table random_weights(Rng& rng) {
  Table table(darts_edges, std::vector<double>(ops.size()));
  for (std::vector<double>& row : table) {
    std::vector<std::size_t> kept(ops.size());
    for (std::size_t op = 0; op < kept.size(); ++op) kept[op] = op;
    std::shuffle(kept.begin(), kept.end(), rng);
    kept.resize(3);
    if (rng() % 2 && std::find(kept.begin(), kept.end(), skip) == kept.end()) kept[0] = skip;
    for (const std::size_t op : kept)
      row[op] = std::uniform_real_distribution<double>(0.05, op == skip ? 1.0 : 0.6)(rng);
  }
  return table;
}

}  // namespace

TEST_CASE("limit of identities: the weakest give way one by one, and inputs may change") {
  Table normal(darts_edges, std::vector<double>(ops.size(), 0.0)), reduce = normal;
  for (int row = 0; row < darts_edges; ++row) {
    normal[row][4] = 0.10 + 0.001 * row;  // sep_conv_3x3
    reduce[row][skip] = 0.9;
    reduce[row][4] = 0.05;
  }
  // 2<-0, 2<-1, 3<-0, 4<-1; the last one's other operation is weaker than 4<-2's and 4<-3's.
  normal[0][skip] = 0.5, normal[1][skip] = 0.6, normal[2][skip] = 0.4, normal[6][skip] = 0.3;
  normal[6][4] = 0.01;
  normal[13][none] = 0.8;
  const auto derive = [&](int most) { return derive_darts_genotype(normal, reduce, ops, most); };
  const Genes all = genes_of(derive(8).normal);
  CHECK(all == genes_of(derive_darts_genotype(normal, reduce, ops).normal));
  CHECK(skips_of(all) == 4);
  CHECK(derive(4) == derive(8));
  const Genes three = genes_of(derive(3).normal);
  CHECK(skips_of(three) == 3);
  CHECK(!three.contains({6, "skip_connect"}));
  CHECK((three.contains({7, "sep_conv_3x3"}) && three.contains({8, "sep_conv_3x3"})));
  const Genes two = genes_of(derive(2).normal);
  CHECK((two.contains({0, "skip_connect"}) && two.contains({1, "skip_connect"})));
  CHECK(two.contains({3, "sep_conv_3x3"}));
  CHECK(skips_of(genes_of(derive(0).normal)) == 0);
  // Reduction cells have no limit.
  CHECK(derive(0).reduce == derive(8).reduce);
  CHECK(skips_of(genes_of(derive(0).reduce)) == 8);
}

TEST_CASE("limit of identities: of random weights as the rule read in another way") {
  auto rng = generator(411);
  for (int round = 0; round < 300; ++round) {
    const Table normal = random_weights(rng), reduce = random_weights(rng);
    const int most = static_cast<int>(rng() % 9);
    CAPTURE(most);
    const DartsGenotype found = derive_darts_genotype(normal, reduce, ops, most);
    CHECK(genes_of(found.normal) == limited(normal, most));
    CHECK(genes_of(found.reduce) == cell_of(reduce));
    Table whole = normal;
    whole.insert(whole.end(), reduce.begin(), reduce.end());
    CHECK(darts_space().derive_with_skips(whole, true, most).genotype == to_string(found));
  }
}

TEST_CASE("limit of identities: an edge without another operation, a space without a limit") {
  const Table only(darts_edges, {0.6, 0, 0, 0.4, 0, 0, 0, 0});
  check_fails([&] { derive_darts_genotype(only, only, ops, 2); },
              {"normal", "skip_connect", "at most 2"});
  CHECK(skips_of(genes_of(derive_darts_genotype(only, only, ops, 8).normal)) == 8);
  check_fails([&] { search_space("nas-bench-201").derive_with_skips(only, false, 2); },
              {"nas-bench-201", "no limit"});
}
