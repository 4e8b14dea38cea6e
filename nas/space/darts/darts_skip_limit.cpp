// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/core/error.h"
#include "nas/space/darts/darts_genotype.h"

namespace drnas {
namespace {

/// Row of the edge that a gene stands for; genes count in pairs, node by node.
std::size_t row_of(std::size_t gene, int source) {
  const std::size_t node = gene / 2;
  return node * (node + 3) / 2 + static_cast<std::size_t>(source);
}

/// Is there something besides `none` that could be chosen on the edge?
bool has_operation(const std::vector<double>& row, const std::vector<std::string>& ops) {
  for (std::size_t op = 0; op < ops.size(); ++op)
    if (ops[op] != "none" && row[op] > 0) return true;
  return false;
}

}  // namespace

DartsGenotype derive_darts_genotype(std::vector<std::vector<double>> normal,
                                    const std::vector<std::vector<double>>& reduce,
                                    const std::vector<std::string>& ops, int most) {
  const auto skip =
      static_cast<std::size_t>(std::find(ops.begin(), ops.end(), "skip_connect") - ops.begin());
  for (;;) {
    DartsGenotype found = derive_darts_genotype(normal, reduce, ops);
    const std::vector<DartsGene>& genes = found.normal.genes;
    int skips = 0;
    std::size_t weakest = normal.size();
    for (std::size_t i = 0; i < genes.size(); ++i) {
      if (genes[i].op != "skip_connect") continue;
      ++skips;
      const std::size_t row = row_of(i, genes[i].source);
      if (weakest == normal.size() || normal[row][skip] < normal[weakest][skip]) weakest = row;
    }
    if (skips <= most) return found;
    normal[weakest][skip] = 0;
    if (!has_operation(normal[weakest], ops))
      throw Error("genotype: normal, edge row " + std::to_string(weakest) +
                  " has no operation but skip_connect, expected another one, so that at most " +
                  std::to_string(most) + " are left");
  }
}

}  // namespace drnas
