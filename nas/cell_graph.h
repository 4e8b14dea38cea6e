// SPDX-License-Identifier: MIT
// A found cell as a graph, and the graph as a drawing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nas/darts_genotype.h"
#include "nas/supernet.h"

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

/// Centre and size of a box; x to the right, y down, in pixels of 96 to the inch.
struct CellBox {
  double x, y, width, height;
};
struct CellPoint {
  double x, y;
};
/// Where an edge runs: from the right side of its first node through `points` to the left side of
/// its last one, with a horizontal tangent in each. `label` holds the operation's name above the
/// line; its width is 0 where there is none.
struct CellCurve {
  std::vector<CellPoint> points;
  CellBox label;
};
struct CellLayout {
  double width, height;
  std::vector<CellBox> nodes;
  std::vector<CellCurve> edges;
};

/// Layers by longest path (Sugiyama, Tagawa and Toda, 1981), inputs on the left, the output alone
/// on the right; between two layers a column of labels. Each edge takes a place of its own in every
/// column that it crosses, so that no boxes overlap and no curve runs through a box. The same
/// graph gives the same layout.
CellLayout lay_out(const CellGraph& graph);

/// A drawing of its own: viewBox, role="img", <title>; text and lines in currentColor, each edge a
/// group of class "edge op-FAMILY" (op_family()) so that a page can colour it, `none` faint and
/// dashed.
std::string to_svg(const CellGraph& graph);
/// A digraph of Graphviz, left to right.
std::string to_dot(const CellGraph& graph);

}  // namespace drnas
