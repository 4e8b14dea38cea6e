// SPDX-License-Identifier: MIT
#include "tools/drawing/cell_drawing.h"

namespace drnas::tools {
namespace {

std::string dot_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::string to_dot(const CellGraph& graph) {
  std::string dot =
      "digraph " + dot_string(graph.name) +
      " {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n"
      "  edge [fontname=\"monospace\", fontsize=11];\n";
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const CellNode& node = graph.nodes[n];
    dot += "  n" + std::to_string(n) + " [label=" + dot_string(node.label) +
           (node.kind == CellNodeKind::intermediate ? "" : ", style=\"rounded,bold\"") + "];\n";
  }
  for (const CellEdge& edge : graph.edges) {
    dot += "  n" + std::to_string(edge.from) + " -> n" + std::to_string(edge.to);
    if (!edge.op.empty())
      dot += " [label=" + dot_string(edge.op) +
             (edge.op == "none" ? ", style=dashed, color=gray, fontcolor=gray" : "") + "]";
    dot += ";\n";
  }
  return dot + "}\n";
}

}  // namespace drnas::tools
