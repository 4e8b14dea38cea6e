// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nas/space/genotype.h"

namespace drnas {

/// One input of a node: operation `op` of state `source`. States 0 and 1 are the cell's two inputs,
/// 2, 3, ... its nodes.
struct DartsGene {
  std::string op;
  int source;

  bool operator==(const DartsGene&) const = default;
};

/// A cell of the DARTS family: two genes a node, in the order of the nodes. The cell's output is
/// the concatenation of the nodes in `concat` (numbers of states, in this order).
struct DartsCellGenotype {
  std::vector<DartsGene> genes;
  std::vector<int> concat;

  int nodes() const { return static_cast<int>(genes.size() / 2); }
  bool operator==(const DartsCellGenotype&) const = default;
};

struct DartsGenotype {
  DartsCellGenotype normal, reduce;

  bool operator==(const DartsGenotype&) const = default;
};

/// Every operation that a genotype may name.
inline constexpr std::array<std::string_view, 11> darts_known_ops{
    "none",         "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
    "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5", "conv_3x1_1x3", "conv_7x1_1x7"};

/// The cell of the search space (Liu et al., ICLR 2019): every node reads every earlier state.
inline constexpr int darts_nodes = 4, darts_edges = 14;

/// The operations on each edge of the search space in the published order, `none` left out or in
/// front.
std::vector<std::string> darts_search_ops(bool with_none = false);

/// Reads `Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...],
/// reduce_concat=[4, 5, 6])` or JSON with the same four keys, in any order. Throws Error that names
/// `what`, the place and what was expected.
DartsGenotype parse_darts_genotype(std::string_view text, const std::string& what);

/// Throws Error naming `what` unless each cell has nodes with two known operations of earlier
/// states, and concatenates some of its nodes, each once.
void check_darts_genotype(const DartsGenotype& genotype, const std::string& what);

/// The published line; a concatenation of consecutive nodes is written as range(first, last + 1).
std::string to_string(const DartsGenotype& genotype);

/// One line of JSON: {"normal":[["sep_conv_3x3",0],...],"normal_concat":[2,3,4,5],"reduce":...}.
std::string to_json(const DartsGenotype& genotype);

/// The genotype of mean mixing weights [14][ops] per kind of cell; rows in the order 2<-0, 2<-1,
/// 3<-0, 3<-1, 3<-2, 4<-0, ... Each node keeps the two edges whose strongest operation is largest,
/// the stronger one first; `none` is never chosen, and the first of equal edges or operations wins.
/// Throws Error for another shape, an unknown or repeated operation, or a weight that is negative
/// or not finite.
DartsGenotype derive_darts_genotype(const std::vector<std::vector<double>>& normal,
                                    const std::vector<std::vector<double>>& reduce,
                                    const std::vector<std::string>& ops);

/// The same of at most `most` skip_connects in the normal cell: as long as there are more, the
/// weight of the weakest that was chosen becomes 0 and the cell is read off again (P-DARTS, Chen et
/// al., ICCV 2019). Throws Error too where that leaves an edge without operation.
DartsGenotype derive_darts_genotype(std::vector<std::vector<double>> normal,
                                    const std::vector<std::vector<double>>& reduce,
                                    const std::vector<std::string>& ops, int most);

/// Genotypes published under a name.
std::span<const NamedGenotype> darts_named_genotypes();

}  // namespace drnas
