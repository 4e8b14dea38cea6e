// SPDX-License-Identifier: MIT
// A found cell as a graph.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nas/space/darts/darts_genotype.h"
#include "nas/space/supernet.h"

namespace drnas {

enum class CellNodeKind { input, intermediate, output };

struct CellNode {
  std::string label;
  CellNodeKind kind;
};

/// Node `to` reads node `from` through `op`; no operation where the output concatenates nodes.
struct CellEdge {
  int from, to;
  std::string op;
};

/// A cell: nodes in topological order (every edge leads to a later one), edges in the genotype's
/// order. Two edges may join the same nodes.
struct CellGraph {
  std::string name;  ///< cell | normal | reduction
  std::vector<CellNode> nodes;
  std::vector<CellEdge> edges;
};

/// The cells of a genotype: `cell` with all six edges in NAS-Bench-201, `normal` and `reduction` in
/// the DARTS space, where the inputs of each node are those that the genotype keeps and the output
/// concatenates.
std::vector<CellGraph> cell_graphs(const AnyGenotype& genotype);
/// The same of a genotype line of the space. Throws Error as parse_nb201() and
/// parse_darts_genotype() do.
std::vector<CellGraph> cell_graphs(SearchSpace space, const std::string& genotype);

/// The edges of the search space's cell as FROM→TO with the numbers with which labels of nodes
/// begin, in the order in which their rows stand in theta (of each kind of cell, in the DARTS
/// space).
std::vector<std::string> edge_labels(SearchSpace space);

/// What an edge does, for a drawing's colours: conv, skip, pool, none or concat.
std::string_view op_family(std::string_view op);

}  // namespace drnas
