// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_cell.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"

namespace drnas {
namespace {

std::string edge_name(const Nb201Edge& edge) {
  return std::to_string(edge.to) + "<-" + std::to_string(edge.from);
}

[[noreturn]] void fail_to_parse(std::string_view text, std::size_t at,
                                const std::string& expected) {
  throw Error("architecture '" + std::string(text) + "': expected " + expected + " at character " +
              std::to_string(at + 1));
}

/// The operation whose name and `~from|` start at `at`, which moves after them.
int parse_op(std::string_view text, std::size_t& at, const Nb201Edge& edge) {
  for (int op = 0; op < Nb201Cell::ops; ++op) {
    const std::string wanted = std::string(Nb201Cell::op_name[static_cast<std::size_t>(op)]) + "~" +
                               std::to_string(edge.from) + "|";
    if (text.substr(at).starts_with(wanted)) {
      at += wanted.size();
      return op;
    }
  }
  std::string known;
  for (const std::string_view name : Nb201Cell::op_name) {
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  fail_to_parse(text, at,
                "for edge " + edge_name(edge) + " one of " + known + ", then '~" +
                    std::to_string(edge.from) + "|',");
}

}  // namespace

int Nb201Cell::index() const {
  int index = 0;
  for (const int o : op) index = index * ops + o;
  return index;
}

Nb201Cell Nb201Cell::from_index(int index) {
  if (index < 0 || index >= count) {
    throw Error("cell number " + std::to_string(index) + ", expected 0 to " +
                std::to_string(count - 1));
  }
  Nb201Cell cell;
  for (std::size_t e = edges; e-- > 0; index /= ops) cell.op[e] = index % ops;
  return cell;
}

std::string to_string(const Nb201Cell& cell) {
  std::string text;
  for (std::size_t e = 0; e < Nb201Cell::edges; ++e) {
    const Nb201Edge edge = Nb201Cell::edge[e];
    if (edge.from == 0) text += e == 0 ? "|" : "+|";
    text += Nb201Cell::op_name.at(static_cast<std::size_t>(cell.op[e]));
    text += "~" + std::to_string(edge.from) + "|";
  }
  return text;
}

Nb201Cell parse_nb201(std::string_view text) {
  Nb201Cell cell;
  std::size_t at = 0;
  for (std::size_t e = 0; e < Nb201Cell::edges; ++e) {
    const Nb201Edge edge = Nb201Cell::edge[e];
    if (edge.from == 0) {
      const std::string_view opening = e == 0 ? "|" : "+|";
      if (!text.substr(at).starts_with(opening)) {
        fail_to_parse(text, at,
                      "'" + std::string(opening) + "' of node " + std::to_string(edge.to));
      }
      at += opening.size();
    }
    cell.op[e] = parse_op(text, at, edge);
  }
  if (at != text.size()) fail_to_parse(text, at, "the end");
  return cell;
}

Nb201Cell cell_of_largest(const std::vector<std::vector<double>>& mean) {
  if (mean.size() != Nb201Cell::edges) {
    throw Error("genotype: " + std::to_string(mean.size()) + " edges, expected 6");
  }
  Nb201Cell cell;
  for (std::size_t e = 0; e < Nb201Cell::edges; ++e) {
    const std::vector<double>& row = mean[e];
    const std::string name = "genotype: edge " + edge_name(Nb201Cell::edge[e]);
    if (row.size() != Nb201Cell::ops) {
      throw Error(name + " has " + std::to_string(row.size()) + " values, expected 5");
    }
    if (std::any_of(row.begin(), row.end(), [](double v) { return std::isnan(v); })) {
      throw Error(name + " has a value that is not a number");
    }
    cell.op[e] = static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin());
  }
  return cell;
}

}  // namespace drnas
