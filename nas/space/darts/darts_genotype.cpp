// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_genotype.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/core/error.h"

namespace drnas {
namespace {

constexpr std::array<std::string_view, 4> keys{"normal", "normal_concat", "reduce",
                                               "reduce_concat"};

std::string joined(const auto& names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

/// The first characters in quotes, fit for a message of one line.
std::string excerpt(std::string_view text) {
  constexpr std::size_t longest = 30;
  std::string start(text.substr(0, longest));
  for (char& c : start) {
    if (std::iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return "'" + start + (text.size() > longest ? "...'" : "'");
}

/// Reads the Python and the JSON form: they differ in the brackets around the whole and in how a
/// key stands before its value.
class Parser {
 public:
  Parser(std::string_view text, const std::string& what) : text_(text), what_(what) {}

  DartsGenotype whole() {
    const bool json = take("{");
    if (!json && !(take("Genotype") && take("("))) {
      at_ = 0;
      fail("Genotype(normal=[...], ...) or {\"normal\": [...], ...}");
    }
    list(json ? "}" : ")", [&] { field(json); });
    if (at_ != text_.size()) fail("the end");
    for (std::size_t k = 0; k < keys.size(); ++k) {
      if (!seen_[k]) {
        throw Error(what_ + ": lacks " + std::string(keys[k]) + ", expected " + joined(keys));
      }
    }
    return result_;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    throw Error(what_ + ": expected " + expected + " at character " + std::to_string(at_ + 1) +
                ", found " + (at_ == text_.size() ? "the end" : excerpt(text_.substr(at_))));
  }

  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  /// Moves after `token` and the space around it; false, and nothing but space skipped, where
  /// something else stands.
  bool take(std::string_view token) {
    skip_space();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    skip_space();
    return true;
  }

  void expect(std::string_view token) {
    if (!take(token)) fail("'" + std::string(token) + "'");
  }

  /// Items between commas up to `close`; a comma may stand after the last one.
  void list(std::string_view close, const auto& item) {
    while (!take(close)) {
      item();
      if (take(",")) continue;
      if (!take(close)) fail("',' or '" + std::string(close) + "'");
      return;
    }
  }

  /// Opens a list or a tuple; returns what closes it.
  std::string_view open(const std::string& expected) {
    if (take("[")) return "]";
    if (take("(")) return ")";
    fail(expected);
  }

  std::string quoted(const std::string& expected) {
    const char quote = at_ < text_.size() ? text_[at_] : ' ';
    if (quote != '\'' && quote != '"') fail(expected + " in quotes");
    const std::size_t first = at_ + 1, last = text_.find(quote, first);
    if (last == std::string_view::npos) fail("a quote that is closed");
    at_ = last + 1;
    skip_space();
    return std::string(text_.substr(first, last - first));
  }

  int integer(const std::string& expected) {
    constexpr std::size_t most_digits = 4;
    const std::size_t start = at_;
    const bool negative = take("-");
    const std::size_t first = at_;
    int value = 0;
    while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) &&
           at_ - first <= most_digits) {
      value = 10 * value + (text_[at_++] - '0');
    }
    if (at_ == first || at_ - first > most_digits) {
      at_ = start;
      fail(expected);
    }
    return negative ? -value : value;
  }

  void field(bool json) {
    const std::size_t start = at_;
    std::string name;
    if (json) {
      name = quoted("one of " + joined(keys));
    } else {
      while (at_ < text_.size() &&
             (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) {
        name += text_[at_++];
      }
    }
    const auto key =
        static_cast<std::size_t>(std::find(keys.begin(), keys.end(), name) - keys.begin());
    if (key == keys.size()) {
      at_ = start;
      fail("one of " + joined(keys));
    }
    if (seen_[key]) {
      at_ = start;
      fail("each key once");
    }
    seen_[key] = true;
    expect(json ? ":" : "=");
    DartsCellGenotype& cell = key < 2 ? result_.normal : result_.reduce;
    if (key % 2 == 0) {
      list(open("a list of ops"), [&] { cell.genes.push_back(gene()); });
    } else {
      cell.concat = concatenation();
    }
  }

  DartsGene gene() {
    const std::string_view close = open("('op', source)");
    DartsGene gene;
    gene.op = quoted("an op");
    expect(",");
    gene.source = integer("the number of a source");
    take(",");
    expect(close);
    return gene;
  }

  std::vector<int> concatenation() {
    std::vector<int> states;
    if (!take("range")) {
      list(open("a list of nodes or range(first, end)"),
           [&] { states.push_back(integer("the number of a node")); });
      return states;
    }
    expect("(");
    const int first = integer("the first node");
    expect(",");
    const int end = integer("the number after the last node");
    expect(")");
    for (int state = first; state < end; ++state) states.push_back(state);
    return states;
  }

  std::string_view text_;
  std::string what_;
  std::size_t at_ = 0;
  std::array<bool, keys.size()> seen_{};
  DartsGenotype result_;
};

void check_genes(const DartsCellGenotype& cell, const std::string& where) {
  if (cell.genes.empty() || cell.genes.size() % 2 != 0) {
    throw Error(where + " has " + std::to_string(cell.genes.size()) +
                (cell.genes.size() == 1 ? " op" : " ops") + ", expected two for each node");
  }
  for (std::size_t g = 0; g < cell.genes.size(); ++g) {
    const DartsGene& gene = cell.genes[g];
    const int node = static_cast<int>(g / 2) + 2;
    const std::string input = where + ", node " + std::to_string(node) + ": ";
    if (std::find(darts_known_ops.begin(), darts_known_ops.end(), gene.op) ==
        darts_known_ops.end()) {
      throw Error(input + "op " + excerpt(gene.op) + ", expected one of " +
                  joined(darts_known_ops));
    }
    if (gene.source < 0 || gene.source >= node) {
      throw Error(input + "source " + std::to_string(gene.source) +
                  ", expected an earlier state, 0 to " + std::to_string(node - 1));
    }
  }
}

void check_concatenation(const DartsCellGenotype& cell, const std::string& where) {
  if (cell.concat.empty()) throw Error(where + " is empty, expected at least one node");
  const int last = cell.nodes() + 1;
  std::set<int> seen;
  for (const int state : cell.concat) {
    if (state < 2 || state > last) {
      throw Error(where + " holds " + std::to_string(state) + ", expected nodes 2 to " +
                  std::to_string(last));
    }
    if (!seen.insert(state).second) {
      throw Error(where + " holds " + std::to_string(state) + " twice, expected each node once");
    }
  }
}

std::string cell_text(const DartsCellGenotype& cell, const std::string& name) {
  std::string genes, states;
  bool consecutive = cell.concat.size() > 1;
  for (const DartsGene& gene : cell.genes) {
    genes += (genes.empty() ? "('" : ", ('") + gene.op + "', " + std::to_string(gene.source) + ")";
  }
  for (std::size_t i = 0; i < cell.concat.size(); ++i) {
    states += (i == 0 ? "" : ", ") + std::to_string(cell.concat[i]);
    consecutive = consecutive && cell.concat[i] == cell.concat[0] + static_cast<int>(i);
  }
  if (consecutive) {
    states = std::to_string(cell.concat.front()) + ", " + std::to_string(cell.concat.back() + 1);
  }
  return name + "=[" + genes + "], " + name +
         "_concat=" + (consecutive ? "range(" + states + ")" : "[" + states + "]");
}

/// What one edge would contribute: its strongest operation but `none`, the first of equal ones.
struct EdgeChoice {
  int source;
  std::size_t op;
  double weight;
};

EdgeChoice strongest(const std::vector<double>& row, const std::vector<std::string>& ops,
                     int source, const std::string& where) {
  if (row.size() != ops.size()) {
    throw Error(where + " has " + std::to_string(row.size()) + " weights, expected " +
                std::to_string(ops.size()));
  }
  EdgeChoice best{source, 0, -1.0};
  for (std::size_t op = 0; op < ops.size(); ++op) {
    if (!std::isfinite(row[op]) || row[op] < 0) {
      throw Error(where + ": weight of " + ops[op] + " is " + std::to_string(row[op]) +
                  ", expected a mean of at least 0");
    }
    if (ops[op] != "none" && row[op] > best.weight) best = {source, op, row[op]};
  }
  return best;
}

DartsCellGenotype derive_cell(const std::vector<std::vector<double>>& mean,
                              const std::vector<std::string>& ops, const std::string& where) {
  if (mean.size() != darts_edges) {
    throw Error(where + " has " + std::to_string(mean.size()) + " edges, expected " +
                std::to_string(darts_edges));
  }
  DartsCellGenotype cell;
  std::size_t edge = 0;
  for (int node = 2; node < 2 + darts_nodes; ++node) {
    std::vector<EdgeChoice> choices;
    for (int source = 0; source < node; ++source, ++edge) {
      choices.push_back(
          strongest(mean[edge], ops, source,
                    where + ", edge " + std::to_string(node) + "<-" + std::to_string(source)));
    }
    std::stable_sort(choices.begin(), choices.end(),
                     [](const EdgeChoice& a, const EdgeChoice& b) { return a.weight > b.weight; });
    for (std::size_t i = 0; i < 2; ++i) {
      cell.genes.push_back({ops[choices[i].op], choices[i].source});
    }
    cell.concat.push_back(node);
  }
  return cell;
}

void check_ops(const std::vector<std::string>& ops) {
  std::set<std::string> seen;
  for (const std::string& op : ops) {
    const bool known =
        std::find(darts_known_ops.begin(), darts_known_ops.end(), op) != darts_known_ops.end();
    if (!known) {
      throw Error("genotype: op " + excerpt(op) + ", expected one of " + joined(darts_known_ops));
    }
    if (!seen.insert(op).second) throw Error("genotype: op " + op + " twice, expected each once");
  }
  seen.erase("none");
  if (seen.empty()) throw Error("genotype: no ops to choose from, expected one besides none");
}

}  // namespace

std::vector<std::string> darts_search_ops(bool with_none) {
  std::vector<std::string> ops{"max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3",
                               "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"};
  if (with_none) ops.insert(ops.begin(), "none");
  return ops;
}

DartsGenotype parse_darts_genotype(std::string_view text, const std::string& what) {
  DartsGenotype genotype = Parser(text, what).whole();
  check_darts_genotype(genotype, what);
  return genotype;
}

void check_darts_genotype(const DartsGenotype& genotype, const std::string& what) {
  check_genes(genotype.normal, what + ": normal");
  check_concatenation(genotype.normal, what + ": normal_concat");
  check_genes(genotype.reduce, what + ": reduce");
  check_concatenation(genotype.reduce, what + ": reduce_concat");
}

std::string to_string(const DartsGenotype& genotype) {
  return "Genotype(" + cell_text(genotype.normal, "normal") + ", " +
         cell_text(genotype.reduce, "reduce") + ")";
}

std::string to_json(const DartsGenotype& genotype) {
  nlohmann::ordered_json object;
  const auto add = [&](const std::string& name, const DartsCellGenotype& cell) {
    object[name] = nlohmann::ordered_json::array();
    for (const DartsGene& gene : cell.genes) {
      object[name].push_back(nlohmann::ordered_json::array({gene.op, gene.source}));
    }
    object[name + "_concat"] = cell.concat;
  };
  add("normal", genotype.normal);
  add("reduce", genotype.reduce);
  return object.dump();
}

DartsGenotype derive_darts_genotype(const std::vector<std::vector<double>>& normal,
                                    const std::vector<std::vector<double>>& reduce,
                                    const std::vector<std::string>& ops) {
  check_ops(ops);
  return {derive_cell(normal, ops, "genotype: normal"),
          derive_cell(reduce, ops, "genotype: reduce")};
}

}  // namespace drnas
