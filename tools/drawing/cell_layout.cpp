// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tools/drawing/cell_drawing.h"

namespace drnas::tools {
namespace {

// Pixels. Monospaced letters at font size 12 are 7.2 wide.
constexpr double letter = 7.5, node_height = 30, label_height = 22, line_height = 10;
constexpr double gap_between = 10, bend = 34, margin = 6;

/// What takes room in a column: a node, an edge's label, or the line of an edge that passes.
struct Item {
  int column;
  double width, height;
  double y = 0;
  std::vector<std::size_t> neighbours = {};
};

/// Number of characters of UTF-8.
double letters(std::string_view text) {
  return static_cast<double>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

class LayeredDrawing {
 public:
  explicit LayeredDrawing(const CellGraph& graph) : graph_(graph) {
    find_layers();
    add_items();
    order_columns();
    align();
  }

  CellLayout result() const {
    CellLayout layout{};
    std::vector<double> centre = column_centres(layout.width);
    double top = items_[0].y, bottom = items_[0].y;
    for (const Item& item : items_) {
      top = std::min(top, item.y - item.height / 2);
      bottom = std::max(bottom, item.y + item.height / 2);
    }
    layout.height = bottom - top + 2 * margin;
    const double down = margin - top;
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
      const Item& item = items_[n];
      layout.nodes.push_back(
          {centre[static_cast<std::size_t>(item.column)], item.y + down, item.width, item.height});
    }
    for (std::size_t e = 0; e < graph_.edges.size(); ++e)
      layout.edges.push_back(curve(e, centre, down, layout.nodes));
    return layout;
  }

 private:
  int layer(int node) const { return layers_[static_cast<std::size_t>(node)]; }

  void find_layers() {
    layers_.assign(graph_.nodes.size(), 0);
    int last = 0;
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
      for (const CellEdge& edge : graph_.edges)
        if (edge.to == static_cast<int>(n)) layers_[n] = std::max(layers_[n], layer(edge.from) + 1);
      if (graph_.nodes[n].kind == CellNodeKind::output) layers_[n] = std::max(layers_[n], last + 1);
      last = std::max(last, layers_[n]);
    }
    columns_.resize(static_cast<std::size_t>(2 * last) + 1);
  }

  std::size_t add(Item item) {
    columns_[static_cast<std::size_t>(item.column)].push_back(items_.size());
    items_.push_back(std::move(item));
    return items_.size() - 1;
  }

  /// Layer l is column 2 l; labels stand in odd columns, each in the emptiest on its edge's way.
  void add_items() {
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      add({2 * layers_[n], letters(graph_.nodes[n].label) * letter + 20, node_height});
    std::vector<int> labels(columns_.size());
    for (const CellEdge& edge : graph_.edges) {
      const int first = 2 * layer(edge.from) + 1, last = 2 * layer(edge.to) - 1;
      int chosen = first;
      for (int c = first; c <= last; c += 2)
        if (labels[static_cast<std::size_t>(c)] < labels[static_cast<std::size_t>(chosen)])
          chosen = c;
      std::vector<std::size_t>& way = ways_.emplace_back();
      for (int c = first; c <= last; ++c) {
        const bool label = c == chosen && !edge.op.empty();
        way.push_back(
            add({c, label ? letters(edge.op) * letter : 0, label ? label_height : line_height}));
      }
      if (!edge.op.empty()) ++labels[static_cast<std::size_t>(chosen)];
      label_of_.push_back(static_cast<std::size_t>(chosen - first));
      auto before = static_cast<std::size_t>(edge.from);
      for (const std::size_t item : way) {
        join(before, item);
        before = item;
      }
      join(before, static_cast<std::size_t>(edge.to));
    }
  }

  void join(std::size_t a, std::size_t b) {
    items_[a].neighbours.push_back(b);
    items_[b].neighbours.push_back(a);
  }

  /// Mean position of the neighbours on one side (-1 left, 1 right, 0 both); `own` without any.
  double barycentre(std::size_t i, int side, double own) const {
    double sum = 0;
    int count = 0;
    for (const std::size_t n : items_[i].neighbours) {
      if (side != 0 && (items_[n].column > items_[i].column) != (side > 0)) continue;
      sum += items_[n].y;
      ++count;
    }
    return count == 0 ? own : sum / count;
  }

  /// Fewer crossings: every column by the barycentres of the one before it, there and back.
  void order_columns() {
    for (std::vector<std::size_t>& column : columns_) place_evenly(column);
    constexpr int rounds = 12;
    for (int round = 0; round < rounds; ++round) {
      const bool right = round % 2 == 0;
      for (std::size_t k = 0; k < columns_.size(); ++k) {
        std::vector<std::size_t>& column = columns_[right ? k : columns_.size() - 1 - k];
        std::vector<std::pair<double, std::size_t>> keys;
        for (const std::size_t i : column)
          keys.emplace_back(barycentre(i, right ? -1 : 1, items_[i].y), i);
        std::stable_sort(keys.begin(), keys.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; });
        for (std::size_t i = 0; i < column.size(); ++i) column[i] = keys[i].second;
        place_evenly(column);
      }
    }
  }

  /// Distance of the centres of two items, one below the other.
  double distance(std::size_t above, std::size_t below) const {
    return (items_[above].height + items_[below].height) / 2 + gap_between;
  }

  void place_evenly(const std::vector<std::size_t>& column) {
    double y = 0;
    for (std::size_t i = 0; i < column.size(); ++i)
      items_[column[i]].y = y += i == 0 ? 0 : distance(column[i - 1], column[i]);
    for (const std::size_t i : column) items_[i].y -= y / 2;
  }

  /// Straighter lines: each column as near to its neighbours' mean as order and distances allow.
  void align() {
    constexpr int rounds = 24;
    for (int round = 0; round < rounds; ++round)
      for (std::size_t k = 0; k < columns_.size(); ++k)
        align(columns_[round % 2 == 0 ? k : columns_.size() - 1 - k]);
  }

  /// Least squares under y[i + 1] >= y[i] + distance: isotonic regression by pooling neighbours.
  void align(const std::vector<std::size_t>& column) {
    struct Pool {
      double sum;
      std::size_t count;
      double mean() const { return sum / static_cast<double>(count); }
    };
    std::vector<double> offset(column.size());
    std::vector<Pool> pools;
    for (std::size_t i = 0; i < column.size(); ++i) {
      if (i > 0) offset[i] = offset[i - 1] + distance(column[i - 1], column[i]);
      Pool pool{barycentre(column[i], 0, items_[column[i]].y) - offset[i], 1};
      while (!pools.empty() && pools.back().mean() >= pool.mean()) {
        pool.sum += pools.back().sum;
        pool.count += pools.back().count;
        pools.pop_back();
      }
      pools.push_back(pool);
    }
    std::size_t i = 0;
    for (const Pool& pool : pools)
      for (std::size_t in = 0; in < pool.count; ++in, ++i)
        items_[column[i]].y = pool.mean() + offset[i];
  }

  double column_width(std::size_t column) const {
    double width = 0;
    for (const std::size_t i : columns_[column]) width = std::max(width, items_[i].width);
    return width;
  }

  std::vector<double> column_centres(double& total) const {
    std::vector<double> centres;
    double right = margin;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const double width = column_width(c);
      if (c > 0) right += bend;
      centres.push_back(right + width / 2);
      right += width;
    }
    total = right + margin;
    return centres;
  }

  /// Through an item the line runs straight: across its column, below its label.
  CellCurve curve(std::size_t e, const std::vector<double>& centre, double down,
                  const std::vector<CellBox>& nodes) const {
    const CellEdge& edge = graph_.edges[e];
    const CellBox &from = nodes[static_cast<std::size_t>(edge.from)],
                  &to = nodes[static_cast<std::size_t>(edge.to)];
    CellCurve curve{{{from.x + from.width / 2, from.y}}, {}};
    for (std::size_t k = 0; k < ways_[e].size(); ++k) {
      const Item& item = items_[ways_[e][k]];
      const auto column = static_cast<std::size_t>(item.column);
      const double x = centre[column], half = column_width(column) / 2;
      const double y = item.y + down + (item.width > 0 ? item.height / 2 - 2 : 0);
      curve.points.push_back({x - half, y});
      curve.points.push_back({x + half, y});
      if (k == label_of_[e]) curve.label = {x, item.y + down - 2, item.width, item.height - 4};
    }
    curve.points.push_back({to.x - to.width / 2, to.y});
    return curve;
  }

  const CellGraph& graph_;
  std::vector<int> layers_;                               ///< of each node
  std::vector<Item> items_;                               ///< the nodes, then what edges take
  std::vector<std::vector<std::size_t>> columns_, ways_;  ///< items from top down; of each edge
  std::vector<std::size_t> label_of_;                     ///< of each edge: which of its items
};

}  // namespace

CellLayout lay_out(const CellGraph& graph) { return LayeredDrawing(graph).result(); }

}  // namespace drnas::tools
