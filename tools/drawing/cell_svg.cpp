// SPDX-License-Identifier: MIT
#include <array>
#include <charconv>

#include "tools/drawing/cell_drawing.h"

namespace drnas::tools {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

/// Tenths of a pixel, without trailing zeros.
std::string number(double value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::fixed, 1);
  std::string text(buffer.data(), end.ptr);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string point(double x, double y) { return number(x) + " " + number(y); }

std::string text_at(double x, double y, std::string_view style, std::string_view text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) +
         "\" text-anchor=\"middle\" fill=\"currentColor\" " + std::string(style) + ">" +
         escaped(text) + "</text>";
}

/// Cubic Bezier curves with horizontal tangents from point to point, and an arrowhead.
std::string path_of(const CellCurve& curve) {
  constexpr double head = 7;
  std::vector<CellPoint> points = curve.points;
  const CellPoint tip = points.back();
  points.back().x -= head;
  std::string d = "M" + point(points[0].x, points[0].y);
  for (std::size_t i = 1; i < points.size(); ++i) {
    const CellPoint &a = points[i - 1], &b = points[i];
    const double middle = (a.x + b.x) / 2;
    d += "C" + point(middle, a.y) + " " + point(middle, b.y) + " " + point(b.x, b.y);
  }
  return "<path d=\"" + d +
         "\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"/><path d=\"M" +
         point(tip.x, tip.y) + "l-" + number(head) + " -4v8z\" fill=\"currentColor\"/>";
}

std::string edge_group(const CellEdge& edge, const CellCurve& curve) {
  const std::string_view family = op_family(edge.op);
  std::string svg = "<g class=\"edge op-" + std::string(family) + "\"";
  if (family == "concat") svg += " opacity=\"0.5\"";
  if (family == "none") svg += " opacity=\"0.4\" stroke-dasharray=\"4 4\"";
  svg += ">" + path_of(curve);
  if (!edge.op.empty())
    svg += text_at(curve.label.x, curve.label.y + curve.label.height / 2 - 5,
                   "font-size=\"12\" font-family=\"ui-monospace, monospace\"", edge.op);
  return svg + "</g>\n";
}

std::string node_group(const CellNode& node, const CellBox& box) {
  const bool inner = node.kind == CellNodeKind::intermediate;
  const char* kind = inner ? "intermediate" : node.kind == CellNodeKind::input ? "input" : "output";
  return "<g class=\"node " + std::string(kind) + "\"><rect x=\"" + number(box.x - box.width / 2) +
         "\" y=\"" + number(box.y - box.height / 2) + "\" width=\"" + number(box.width) +
         "\" height=\"" + number(box.height) +
         "\" rx=\"6\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"" + (inner ? "1" : "2") +
         "\"/>" +
         text_at(box.x, box.y + 4, "font-size=\"13\" font-family=\"ui-monospace, monospace\"",
                 node.label) +
         "</g>\n";
}

/// The edges in words, for readers that do not show the drawing.
std::string description(const CellGraph& graph) {
  std::string text;
  for (const CellEdge& edge : graph.edges)
    text += (text.empty() ? "" : "; ") + graph.nodes[static_cast<std::size_t>(edge.from)].label +
            " to " + graph.nodes[static_cast<std::size_t>(edge.to)].label + ": " +
            (edge.op.empty() ? "concatenated" : edge.op);
  return text;
}

}  // namespace

std::string to_svg(const CellGraph& graph) {
  const CellLayout layout = lay_out(graph);
  const std::string title = graph.name == "cell" ? graph.name : graph.name + " cell";
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"cell\" role=\"img\" viewBox=\"0 0 " +
      number(layout.width) + " " + number(layout.height) + "\" width=\"" + number(layout.width) +
      "\" height=\"" + number(layout.height) + "\">\n<title>" + escaped(title) +
      "</title>\n<desc>" + escaped(description(graph)) + "</desc>\n";
  for (std::size_t e = 0; e < graph.edges.size(); ++e)
    svg += edge_group(graph.edges[e], layout.edges[e]);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    svg += node_group(graph.nodes[n], layout.nodes[n]);
  return svg + "</svg>\n";
}

std::string to_svg_file(const CellGraph& graph) {
  std::string svg = to_svg(graph);
  svg.insert(svg.find("<title>"),
             "<style>svg{color:#24292f}@media(prefers-color-scheme:dark){svg{color:#d0d7de}}"
             "</style>\n");
  return svg;
}

}  // namespace drnas::tools
