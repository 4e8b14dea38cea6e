// SPDX-License-Identifier: MIT
// The graph of a cell as a drawing.
#pragma once

#include <string>
#include <vector>

#include "nas/space/cell_graph.h"

namespace drnas::tools {

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
/// The same as a file of its own: dark lines on a light page, light ones where the reader's page is
/// dark (prefers-color-scheme).
std::string to_svg_file(const CellGraph& graph);
/// A digraph of Graphviz, left to right.
std::string to_dot(const CellGraph& graph);

}  // namespace drnas::tools
