// SPDX-License-Identifier: MIT
#include "tools/drawing/cell_text.h"

#include <langinfo.h>
#include <locale.h>

#include <algorithm>
#include <string_view>

namespace drnas::tools {
namespace {

constexpr std::size_t columns = 80;

/// What the lines of a node begin with, and the character between operation and source.
struct Strokes {
  const char *only, *first, *middle, *last, *line, *faint;
};
constexpr Strokes utf8_strokes{"◀── ", "◀┬─ ", " ├─ ", " └─ ", "─", "╌"};
constexpr Strokes ascii_strokes{"<-- ", "<+- ", " |- ", " `- ", "-", "."};
constexpr std::size_t stroke_width = 4;

/// A line of the drawing: through `op` from `source`.
struct Input {
  std::string op, source;
};

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

std::string op_text(const CellEdge& edge) { return edge.op.empty() ? "concat" : edge.op; }

/// Inputs of a node: one an edge; what is concatenated on as few lines of `width` as it takes.
std::vector<Input> inputs_of(const CellGraph& graph, std::size_t node, std::size_t width) {
  std::vector<Input> inputs;
  for (const CellEdge& edge : graph.edges) {
    if (edge.to != static_cast<int>(node)) continue;
    const std::string& source = graph.nodes[static_cast<std::size_t>(edge.from)].label;
    const bool concat = edge.op.empty();
    Input* last = inputs.empty() ? nullptr : &inputs.back();
    if (concat && last != nullptr && last->source.size() + 2 + source.size() <= width)
      last->source += ", " + source;
    else
      inputs.push_back({op_text(edge), source});
  }
  return inputs;
}

}  // namespace

std::string cell_text(const CellGraph& graph, bool utf8) {
  const Strokes& strokes = utf8 ? utf8_strokes : ascii_strokes;
  std::size_t label_width = 0, op_width = 0;
  for (const CellNode& node : graph.nodes) label_width = std::max(label_width, node.label.size());
  for (const CellEdge& edge : graph.edges) op_width = std::max(op_width, op_text(edge).size());
  // Two blanks, the node, a blank, the stroke, the operation, a blank, a line of three, a blank.
  const std::size_t taken = 2 + label_width + 1 + stroke_width + op_width + 1 + 3 + 1;
  std::string text = graph.name + (graph.name == "cell" ? "" : " cell") + "\n";
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const std::vector<Input> inputs = inputs_of(graph, n, columns - taken);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const char* stroke = inputs.size() == 1       ? strokes.only
                           : i == 0                 ? strokes.first
                           : i + 1 == inputs.size() ? strokes.last
                                                    : strokes.middle;
      text += "  " + padded(i == 0 ? graph.nodes[n].label : "", label_width) + " " + stroke;
      text += inputs[i].op + " ";
      const char* line = inputs[i].op == "none" ? strokes.faint : strokes.line;
      for (std::size_t k = inputs[i].op.size(); k < op_width + 3; ++k) text += line;
      text += " " + inputs[i].source + "\n";
    }
  }
  return text;
}

bool locale_is_utf8() {
  const locale_t environment = newlocale(LC_CTYPE_MASK, "", locale_t{});
  if (environment == locale_t{}) return false;
  const bool utf8 = std::string_view(nl_langinfo_l(CODESET, environment)) == "UTF-8";
  freelocale(environment);
  return utf8;
}

}  // namespace drnas::tools
