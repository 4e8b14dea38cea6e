// SPDX-License-Identifier: MIT
// A found cell as a graph.
#pragma once

#include <string>
#include <string_view>
#include <vector>

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

/// FROM→TO with the numbers with which labels of nodes begin.
std::string edge_label(int from, int to);
/// What an edge does, for a drawing's colours: conv, skip, pool, none or concat.
std::string_view op_family(std::string_view op);

}  // namespace drnas
