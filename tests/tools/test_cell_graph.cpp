// SPDX-License-Identifier: MIT
#include "tools/drawing/cell_drawing.h"

#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "nas/space/darts/darts_genotype.h"
#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/search_space.h"
#include "tests/support/reference.h"
#include "tools/drawing/cell_text.h"

namespace {

using namespace drnas;
using namespace drnas::tools;

const SearchSpace &nb201 = search_space("nas-bench-201"), &darts_cells = search_space("darts");

/// From, to and operation by the labels of nodes; "" for the output's concatenation.
using Edge = std::array<std::string, 3>;

struct Cell {
  CellGraph graph;
  std::multiset<Edge> edges;  ///< as the genotype says, found without cell_graphs()
  std::set<std::string> nodes;
};

/// From the text: |op~from|op~from|+...
Cell random_nb201(std::mt19937_64& rng) {
  const std::string text = to_string(Nb201Cell::from_index(static_cast<int>(rng() % 15625)));
  const std::array<std::string, 4> label{"0 input", "1", "2", "3 output"};
  Cell cell{nb201.cell_graphs(text).at(0), {}, {label.begin(), label.end()}};
  std::istringstream parts(text);
  std::size_t to = 1;
  for (std::string part; std::getline(parts, part, '|');) {
    if (part == "+") ++to;
    const std::size_t tilde = part.find('~');
    if (tilde == part.npos) continue;
    const std::size_t from = std::stoul(part.substr(tilde + 1));
    cell.edges.insert({label[from], label[to], part.substr(0, tilde)});
  }
  return cell;
}

std::string darts_label(int state) {
  return state == 0 ? "0 c_{k-2}" : state == 1 ? "1 c_{k-1}" : std::to_string(state);
}

DartsCellGenotype random_darts_cell(std::mt19937_64& rng) {
  DartsCellGenotype cell;
  const int nodes = 1 + static_cast<int>(rng() % 7);
  for (int node = 2; node < 2 + nodes; ++node) {
    for (int input = 0; input < 2; ++input)
      cell.genes.push_back({std::string(darts_known_ops[rng() % darts_known_ops.size()]),
                            static_cast<int>(rng() % static_cast<std::uint64_t>(node))});
    if (rng() % 2 == 0) cell.concat.push_back(node);
  }
  if (cell.concat.empty()) cell.concat.push_back(2);
  return cell;
}

Cell expected_of(const DartsCellGenotype& genotype, const CellGraph& graph) {
  Cell cell{graph, {}, {"c_{k}"}};
  for (int state = 0; state < 2 + genotype.nodes(); ++state) cell.nodes.insert(darts_label(state));
  for (std::size_t g = 0; g < genotype.genes.size(); ++g)
    cell.edges.insert(
        {darts_label(genotype.genes[g].source), std::to_string(2 + g / 2), genotype.genes[g].op});
  for (const int state : genotype.concat) cell.edges.insert({darts_label(state), "c_{k}", ""});
  return cell;
}

std::vector<Cell> random_cells(std::uint64_t test) {
  std::mt19937_64 rng = test::generator(test);
  std::vector<Cell> cells;
  for (int i = 0; i < 60; ++i) {
    cells.push_back(random_nb201(rng));
    const DartsGenotype darts{random_darts_cell(rng), random_darts_cell(rng)};
    const auto graphs = darts_cells.cell_graphs(to_string(darts));
    REQUIRE(graphs.size() == 2);
    CHECK(graphs[0].name == "normal");
    CHECK(graphs[1].name == "reduction");
    cells.push_back(expected_of(darts.normal, graphs[0]));
    cells.push_back(expected_of(darts.reduce, graphs[1]));
  }
  return cells;
}

std::string label(const CellGraph& graph, int node) {
  return graph.nodes.at(static_cast<std::size_t>(node)).label;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// A reader of the part of Graphviz's language that is needed: one statement a line, attributes in
/// brackets with or without quotes.
struct DotReader {
  std::map<std::string, std::string> nodes;
  std::multiset<Edge> edges;
  bool left_to_right = false;
  std::string name;

  explicit DotReader(const std::string& text) {
    std::istringstream lines(text);
    std::string line, last;
    REQUIRE(std::getline(lines, line));
    std::istringstream first(line);
    std::string keyword, open;
    first >> keyword >> name >> open;
    REQUIRE(keyword == "digraph");
    REQUIRE(open == "{");
    while (std::getline(lines, line) && line != "}") statement(line);
    REQUIRE(line == "}");
    CHECK(!std::getline(lines, line));
  }

 private:
  void statement(std::string line) {
    REQUIRE(line.ends_with(";"));
    line.pop_back();
    std::map<std::string, std::string> attributes;
    if (const std::size_t bracket = line.find('['); bracket != line.npos) {
      REQUIRE(line.ends_with("]"));
      attributes = read_attributes(line.substr(bracket + 1, line.size() - bracket - 2));
      line.resize(bracket);
    }
    std::istringstream words(line);
    std::string first, arrow, second;
    words >> first >> arrow >> second;
    if (first == "rankdir=LR") left_to_right = true;
    if (first == "node" || first == "edge" || first.find('=') != first.npos) return;
    if (arrow.empty()) {
      REQUIRE(nodes.emplace(first, attributes.at("label")).second);
      return;
    }
    REQUIRE(arrow == "->");
    edges.insert({nodes.at(first), nodes.at(second), attributes["label"]});
    CHECK((attributes["style"] == "dashed") == (attributes["label"] == "none"));
  }

  static std::map<std::string, std::string> read_attributes(const std::string& text) {
    std::map<std::string, std::string> attributes;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t equals = text.find('=', at);
      REQUIRE(equals != text.npos);
      const bool quoted = text.at(equals + 1) == '"';
      const std::size_t first = equals + (quoted ? 2 : 1);
      const std::size_t end = std::min(text.find(quoted ? '"' : ',', first), text.size());
      attributes[text.substr(at, equals - at)] = text.substr(first, end - first);
      at = std::min(text.find_first_not_of(", ", end + (quoted ? 1 : 0)), text.size());
    }
    return attributes;
  }
};

bool overlap(const CellBox& a, const CellBox& b) {
  return std::abs(a.x - b.x) < (a.width + b.width) / 2 &&
         std::abs(a.y - b.y) < (a.height + b.height) / 2;
}

/// Points of the curve as it is drawn: from point to point with horizontal tangents.
std::vector<CellPoint> samples(const CellCurve& curve) {
  std::vector<CellPoint> all;
  for (std::size_t i = 1; i < curve.points.size(); ++i) {
    const CellPoint &a = curve.points[i - 1], &b = curve.points[i];
    for (double t = 0; t <= 1; t += 0.125) {
      const double u = 1 - t, middle = (a.x + b.x) / 2;
      all.push_back({u * u * u * a.x + 3 * u * t * middle + t * t * t * b.x,
                     u * u * (u + 3 * t) * a.y + t * t * (t + 3 * u) * b.y});
    }
  }
  return all;
}

void check_boxes(const CellGraph& graph, const CellLayout& layout) {
  std::vector<CellBox> boxes = layout.nodes;
  for (const CellCurve& curve : layout.edges)
    if (curve.label.width > 0) boxes.push_back(curve.label);
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    CHECK(boxes[i].x - boxes[i].width / 2 >= 0);
    CHECK(boxes[i].y - boxes[i].height / 2 >= 0);
    CHECK(boxes[i].x + boxes[i].width / 2 <= layout.width);
    CHECK(boxes[i].y + boxes[i].height / 2 <= layout.height);
    for (std::size_t k = 0; k < i; ++k) CHECK(!overlap(boxes[i], boxes[k]));
  }
  for (const CellCurve& curve : layout.edges)
    for (const CellPoint& p : samples(curve))
      for (const CellBox& box : boxes) CHECK(!overlap({p.x, p.y, -1e-6, -1e-6}, box));
  for (const CellEdge& edge : graph.edges) {
    const CellBox &from = layout.nodes[static_cast<std::size_t>(edge.from)],
                  &to = layout.nodes[static_cast<std::size_t>(edge.to)];
    CHECK(from.x + from.width / 2 < to.x - to.width / 2);
  }
}

/// Every element is closed in order and attributes are quoted; returns the names of all.
std::multiset<std::string> read_elements(const std::string& xml) {
  std::multiset<std::string> names;
  std::vector<std::string> open;
  for (std::size_t at = xml.find('<'); at != xml.npos; at = xml.find('<', at + 1)) {
    const std::size_t end = xml.find('>', at);
    REQUIRE(end != xml.npos);
    std::string tag = xml.substr(at + 1, end - at - 1);
    CHECK(count(tag, "\"") == 2 * count(tag, "="));
    if (tag.starts_with("/")) {
      REQUIRE(!open.empty());
      CHECK(open.back() == tag.substr(1));
      open.pop_back();
      continue;
    }
    const std::string name = tag.substr(0, tag.find_first_of(" /"));
    names.insert(name);
    if (!tag.ends_with("/")) open.push_back(name);
  }
  CHECK(open.empty());
  return names;
}

/// Columns of the longest line, a character of UTF-8 for one.
std::size_t widest(const std::string& text) {
  std::size_t most = 0, width = 0;
  for (const char c : text) {
    if ((c & 0xc0) != 0x80) ++width;
    if (c == '\n') width = 0;
    most = std::max(most, width);
  }
  return most;
}

}  // namespace

TEST_CASE("cell graph: nodes and edges are those of the genotype, in topological order") {
  for (const Cell& cell : random_cells(701)) {
    std::multiset<Edge> edges;
    for (const CellEdge& edge : cell.graph.edges) {
      CHECK(edge.from < edge.to);
      edges.insert({label(cell.graph, edge.from), label(cell.graph, edge.to), edge.op});
    }
    CHECK(edges == cell.edges);
    std::set<std::string> nodes;
    std::map<CellNodeKind, int> kinds;
    for (const CellNode& node : cell.graph.nodes) {
      nodes.insert(node.label);
      ++kinds[node.kind];
    }
    CHECK(nodes == cell.nodes);
    CHECK(cell.graph.nodes.size() == nodes.size());
    CHECK(kinds[CellNodeKind::input] == (cell.graph.name == "cell" ? 1 : 2));
    CHECK(kinds[CellNodeKind::output] == 1);
    CHECK(cell.graph.nodes.back().kind == CellNodeKind::output);
  }
}

TEST_CASE("cell graph: rows of theta are labelled in the order of the genotype's derivation") {
  CHECK(nb201.edge_labels() == std::vector<std::string>{"0→1", "0→2", "1→2", "0→3", "1→3", "2→3"});
  const std::vector<std::string> labels = darts_cells.edge_labels();
  const std::vector<std::string> ops = darts_search_ops();
  REQUIRE(labels.size() == darts_edges);
  // A row with all the weight on one operation makes that edge a gene of the normal cell.
  for (std::size_t row = 0; row < labels.size(); ++row) {
    std::vector<std::vector<double>> theta(2 * darts_edges, std::vector<double>(ops.size(), 0.1));
    theta[row][3] = 1;
    const Architecture found = darts_cells.derive(theta, false);
    const CellGraph normal = darts_cells.cell_graphs(found.genotype)[0];
    std::string strong;
    for (const CellEdge& edge : normal.edges)
      if (edge.op == ops[3])
        strong +=
            std::to_string(std::stoi(label(normal, edge.from))) + "→" + label(normal, edge.to);
    CHECK(strong == labels[row]);
  }
}

TEST_CASE("cell graph: no boxes overlap, no curve runs through a box, edges lead to the right") {
  for (const Cell& cell : random_cells(702)) {
    const CellLayout layout = lay_out(cell.graph);
    REQUIRE(layout.nodes.size() == cell.graph.nodes.size());
    REQUIRE(layout.edges.size() == cell.graph.edges.size());
    check_boxes(cell.graph, layout);
    for (std::size_t e = 0; e < layout.edges.size(); ++e)
      CHECK((layout.edges[e].label.width > 0) == !cell.graph.edges[e].op.empty());
  }
}

TEST_CASE("cell graph: the drawing names every node and operation, has a title and no script") {
  for (const Cell& cell : random_cells(703)) {
    const std::string svg = to_svg(cell.graph);
    CHECK(svg == to_svg(cell.graph));
    const auto elements = read_elements(svg);
    for (const char* once : {"svg", "title", "desc"}) CHECK(elements.count(once) == 1);
    CHECK(elements.count("script") == 0);
    CHECK(elements.count("g") == cell.nodes.size() + cell.edges.size());
    CHECK(elements.count("rect") == cell.nodes.size());
    CHECK(svg.find("viewBox=\"0 0 ") != svg.npos);
    CHECK(svg.find("role=\"img\"") != svg.npos);
    CHECK(svg.find("nan") == svg.npos);
    for (const std::string& node : cell.nodes) CHECK(count(svg, ">" + node + "</text>") == 1);
    std::map<std::string, std::size_t> ops, families;
    for (const Edge& edge : cell.edges) {
      ++ops[edge[2]];
      ++families[std::string(op_family(edge[2]))];
    }
    for (const auto& [op, times] : ops)
      if (!op.empty()) CHECK(count(svg, ">" + op + "</text>") == times);
    for (const auto& [family, times] : families)
      CHECK(count(svg, "<g class=\"edge op-" + family + "\"") == times);
  }
}

TEST_CASE("cell graph: operations by family") {
  CHECK(op_family("none") == "none");
  CHECK(op_family("skip_connect") == "skip");
  CHECK(op_family("") == "concat");
  for (const char* op : {"max_pool_3x3", "avg_pool_3x3"}) CHECK(op_family(op) == "pool");
  for (const char* op : {"nor_conv_1x1", "sep_conv_5x5", "dil_conv_3x3", "conv_7x1_1x7"})
    CHECK(op_family(op) == "conv");
}

TEST_CASE("cell graph: Graphviz text holds the same graph") {
  for (const Cell& cell : random_cells(704)) {
    const DotReader dot(to_dot(cell.graph));
    CHECK(dot.left_to_right);
    CHECK(dot.name == "\"" + cell.graph.name + "\"");
    CHECK(dot.edges == cell.edges);
    std::set<std::string> nodes;
    for (const auto& [id, text] : dot.nodes) nodes.insert(text);
    CHECK(nodes == cell.nodes);
  }
  const CellGraph hostile{"a \"b\"", {{"x\\\"y", CellNodeKind::input}}, {}};
  CHECK(to_dot(hostile).find("digraph \"a \\\"b\\\"\"") == 0);
  CHECK(to_dot(hostile).find("\"x\\\\\\\"y\"") != std::string::npos);
  const std::string svg = to_svg({"a<b", {{"<script>\"&", CellNodeKind::output}}, {}});
  CHECK(svg.find("<script") == svg.npos);
  CHECK(svg.find("&lt;script&gt;&quot;&amp;</text>") != svg.npos);
}

TEST_CASE("cell text: every node with what it reads, within 80 columns, in UTF-8 and in ASCII") {
  for (const Cell& cell : random_cells(705)) {
    const std::string utf8 = tools::cell_text(cell.graph, true),
                      ascii = tools::cell_text(cell.graph, false);
    for (const std::string& text : {utf8, ascii}) {
      CHECK(widest(text) <= 80);
      std::map<std::string, std::size_t> ops;
      for (const Edge& edge : cell.edges) ++ops[edge[2].empty() ? "concat" : edge[2]];
      for (const auto& [op, times] : ops)
        CHECK(count(text, " " + op + " ") == (op == "concat" ? 1 : times));
      for (const Edge& edge : cell.edges)
        for (std::size_t end : {0, 1}) CHECK(text.find(" " + edge[end]) != text.npos);
    }
    CHECK(std::all_of(ascii.begin(), ascii.end(), [](char c) { return (c & 0x80) == 0; }));
  }
}

TEST_CASE("cell text: a whole cell, and a long concatenation on several lines") {
  const std::string genotype =
      "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|";
  const CellGraph cell = nb201.cell_graphs(genotype)[0];
  CHECK(tools::cell_text(cell, false) ==
        "cell\n"
        "  1        <-- nor_conv_3x3 --- 0 input\n"
        "  2        <+- skip_connect --- 0 input\n"
        "            `- none ........... 1\n"
        "  3 output <+- avg_pool_3x3 --- 0 input\n"
        "            |- nor_conv_1x1 --- 1\n"
        "            `- nor_conv_3x3 --- 2\n");
  CellGraph wide{"normal", {}, {}};
  for (int n = 0; n < 60; ++n) wide.nodes.push_back({std::to_string(n), CellNodeKind::input});
  wide.nodes.push_back({"out", CellNodeKind::output});
  for (int n = 0; n < 60; ++n) wide.edges.push_back({n, 60, ""});
  const std::string text = tools::cell_text(wide, true);
  CHECK(widest(text) <= 80);
  CHECK(count(text, "concat") > 1);
  for (int n = 0; n < 60; ++n) CHECK(text.find(" " + std::to_string(n)) != text.npos);
}
