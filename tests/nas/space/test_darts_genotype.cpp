// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_genotype.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <tuple>

#include "engine/safetensors.h"
#include "tests/parity/golden.h"
#include "tests/support/genotypes.h"
#include "tests/support/option_files.h"

namespace {

using drnas::DartsCellGenotype;
using drnas::DartsGene;
using drnas::DartsGenotype;
using drnas::parse_darts_genotype;
using drnas::test_files::check_fails;
using drnas::test_files::TemporaryFolder;
using Table = std::vector<std::vector<double>>;

const DartsGenotype small{
    {{{"sep_conv_3x3", 0}, {"skip_connect", 1}}, {2}},
    {{{"none", 1}, {"max_pool_3x3", 0}, {"conv_7x1_1x7", 2}, {"none", 2}}, {2, 3}}};
const std::string small_text =
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=[2], "
    "reduce=[('none', 1), ('max_pool_3x3', 0), ('conv_7x1_1x7', 2), ('none', 2)], "
    "reduce_concat=range(2, 4))";
const std::string small_json =
    R"({"normal":[["sep_conv_3x3",0],["skip_connect",1]],"normal_concat":[2],)"
    R"("reduce":[["none",1],["max_pool_3x3",0],["conv_7x1_1x7",2],["none",2]],)"
    R"("reduce_concat":[2,3]})";

DartsGenotype parse(const std::string& text) { return parse_darts_genotype(text, "x.txt"); }

/// small_text or small_json with its first `from` replaced.
std::string edited(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

DartsCellGenotype random_cell(std::mt19937& random) {
  DartsCellGenotype cell;
  const int nodes = 1 + static_cast<int>(random() % 6);
  for (int g = 0; g < 2 * nodes; ++g) {
    const auto op = drnas::darts_known_ops[random() % drnas::darts_known_ops.size()];
    cell.genes.push_back({std::string(op), static_cast<int>(random() % (2 + g / 2))});
  }
  for (int node = 2; node < nodes + 2; ++node) cell.concat.push_back(node);
  if (random() % 2 == 0) {
    std::shuffle(cell.concat.begin(), cell.concat.end(), random);
    cell.concat.resize(1 + random() % cell.concat.size());
  }
  return cell;
}

/// `text` with blanks around its punctuation, double quotes, tuples and lists swapped, commas
/// after last items.
std::string roughened(const std::string& text, std::mt19937& random) {
  const std::string spaces[] = {"", " ", "\n", "\t  ", "\r\n"};
  std::string out;
  char before = ' ';
  for (const char c : text) {
    const bool punctuation = std::string("()[]{},:=").find(c) != std::string::npos;
    if (punctuation) out += spaces[random() % 5];
    const bool closes = std::string(")]}").find(c) != std::string::npos;
    if (closes && before == ')' && random() % 2 == 0) out += ',';
    out += c == '\'' ? '"' : c;
    if (punctuation) out += spaces[random() % 5];
    if (c != ' ') before = c;
  }
  return out;
}

}  // namespace

TEST_CASE("darts genotype: the published form and JSON") {
  CHECK(to_string(small) == small_text);
  CHECK(parse(small_text) == small);
  CHECK(to_json(small) == small_json);
  CHECK(parse(small_json) == small);
  CHECK(parse(nlohmann::json::parse(small_json).dump(2)) == small);
  CHECK(small.reduce.nodes() == 2);
}

TEST_CASE("darts genotype: random genotypes survive both forms") {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    const DartsGenotype genotype{random_cell(random), random_cell(random)};
    const std::string text = to_string(genotype), json = to_json(genotype);
    CHECK(parse(text) == genotype);
    CHECK(parse(json) == genotype);
    CHECK(parse(roughened(text, random)) == genotype);
    CHECK(parse(roughened(json, random)) == genotype);
    const auto object = nlohmann::json::parse(json);
    CHECK(object.size() == 4);
    CHECK(object["reduce_concat"] == genotype.reduce.concat);
    CHECK(object["normal"].back()[0] == genotype.normal.genes.back().op);
    CHECK(object["normal"].back()[1] == genotype.normal.genes.back().source);
  }
}

TEST_CASE("darts genotype: keys in any order, tuples, commas after the last item") {
  CHECK(parse("Genotype(reduce_concat = (2, 3,), reduce = [[\"none\", 1], ('max_pool_3x3', 0,),"
              "('conv_7x1_1x7', 2), (\"none\", 2),],\n  normal_concat=range( 2 , 3 ),"
              "normal=(('sep_conv_3x3',0),('skip_connect',1)),\n)\n") == small);
  // A concatenation keeps its order.
  const DartsGenotype turned = parse(edited(small_text, "range(2, 4)", "[3, 2]"));
  CHECK(turned.reduce.concat == std::vector<int>{3, 2});
  CHECK(to_string(turned) == edited(small_text, "range(2, 4)", "[3, 2]"));
  CHECK(parse(edited(small_text, "range(2, 4)", "[3]")).reduce.concat == std::vector<int>{3});
}

TEST_CASE("darts genotype: errors of the form name the place and what was expected") {
  const auto fails = [](const std::string& text, std::initializer_list<std::string> parts) {
    check_fails([&] { parse(text); }, parts);
    check_fails([&] { parse(text); }, {"x.txt: ", "expected"});
  };
  fails("", {"Genotype(", "character 1", "found the end"});
  fails("genotype(normal=[])", {"Genotype(", "'genotype(normal=[])'"});
  fails("Genotype[]", {"Genotype(", "character 1"});
  fails(small_text + " x", {"the end", "'x'"});
  fails(small_text + ")", {"the end", "')'"});
  fails(small_json + "}", {"the end"});
  fails(edited(small_text, "normal=", "normal:"), {"'='", "':["});
  fails(edited(small_json, ":", "="), {"':'", "'=["});
  fails(edited(small_json, "\"normal\"", "normal"), {"in quotes", "normal_concat"});
  fails(edited(small_text, "normal_concat", "nodes"), {"one of normal, normal_concat", "'nodes="});
  fails(edited(small_text, "normal_concat", "normal"), {"each key once", "'normal=[2]"});
  fails(edited(small_json, "normal_concat", "normal"), {"each key once"});
  fails(edited(small_text, "'sep_conv_3x3'", "sep_conv_3x3"), {"an op in quotes"});
  fails(edited(small_text, "('sep_conv_3x3', 0)", "'sep_conv_3x3'"), {"('op', source)"});
  fails(edited(small_text, "3', 0)", "3', 'a')"), {"the number of a source", "''a')"});
  fails(edited(small_json, "3\",0]", "3\",0.5]"), {"']'", "'.5]"});
  fails(edited(small_text, "3', 0)", "3', 99999999999)"), {"the number of a source"});
  fails(edited(small_text, "3', 0)", "3')"), {"','", "')"});
  fails(edited(small_text, "[2]", "2"), {"list of nodes or range(first, end)", "'2,"});
  fails(edited(small_text, "[2]", "[a]"), {"the number of a node"});
  fails(edited(small_text, "[2]", "[2 3]"), {"',' or ']'", "'3]"});
  fails(edited(small_text, "range(2, 4)", "range(2)"), {"','", "')"});
  fails(edited(small_text, "range(2, 4)", "range(2, 4, 1)"), {"')'", "', 1)"});
  fails(edited(small_text, "range(2, 4)", "range(2, x)"), {"after the last node"});
  fails("Genotype(normal=[('none", {"a quote that is closed"});
  fails("Genotype(normal=[('no\nne", {"'no ne'", "closed"});
  fails("Genotype(normal=3)", {"a list of ops"});
  for (std::size_t cut = 0; cut < small_text.size(); ++cut) {
    fails(small_text.substr(0, cut), {"at character"});
  }
  for (std::size_t cut = 0; cut < small_json.size(); ++cut) {
    fails(small_json.substr(0, cut), {"at character"});
  }
}

TEST_CASE("darts genotype: errors of the content name the cell and what was expected") {
  const auto fails = [](const std::string& text, std::initializer_list<std::string> parts) {
    check_fails([&] { parse(text); }, parts);
    check_fails([&] { parse(text); }, {"x.txt: ", "expected"});
  };
  fails("Genotype()", {"lacks normal,", "reduce_concat"});
  fails("{}", {"lacks normal,"});
  fails(edited(small_text, ", normal_concat=[2]", ""), {"lacks normal_concat,"});
  fails(edited(small_json, ",\"reduce_concat\":[2,3]", ""), {"lacks reduce_concat,"});
  fails(edited(small_text, "skip_connect", "skip\nconnect"),
        {"normal, node 2", "'skip connect'", "none, max_pool_3x3", "conv_7x1_1x7"});
  fails(edited(small_text, "'conv_7x1_1x7'", "''"), {"reduce, node 3", "op ''"});
  fails(edited(small_text, ", ('skip_connect', 1)", ""), {"normal has 1 op,", "two for each node"});
  fails(edited(small_text, ", ('none', 2)", ""), {"reduce has 3 ops", "two for each node"});
  fails(edited(small_text, "('sep_conv_3x3', 0), ('skip_connect', 1)", ""), {"normal has 0 ops"});
  fails(edited(small_text, "('none', 2)", "('none', 3)"),
        {"reduce, node 3", "source 3", "an earlier state, 0 to 2"});
  fails(edited(small_text, "('max_pool_3x3', 0)", "('max_pool_3x3', 2)"),
        {"reduce, node 2", "source 2", "0 to 1"});
  fails(edited(small_text, "('max_pool_3x3', 0)", "('max_pool_3x3', 9)"), {"source 9"});
  fails(edited(small_json, "\"skip_connect\",1", "\"skip_connect\",-1"), {"node 2", "source -1"});
  fails(edited(small_text, "[2]", "[]"), {"normal_concat is empty", "at least one node"});
  fails(edited(small_text, "range(2, 4)", "range(4, 2)"), {"reduce_concat is empty"});
  fails(edited(small_text, "[2]", "[2, 3]"), {"normal_concat holds 3", "nodes 2 to 2"});
  fails(edited(small_text, "[2]", "[1]"), {"normal_concat holds 1", "nodes 2 to 2"});
  fails(edited(small_text, "range(2, 4)", "range(2, 9999)"), {"holds 4", "nodes 2 to 3"});
  fails(edited(small_text, "range(2, 4)", "[-2]"), {"holds -2", "nodes 2 to 3"});
  fails(edited(small_text, "range(2, 4)", "[3, 2, 3]"), {"reduce_concat holds 3 twice"});
}

TEST_CASE("darts genotype: every published name") {
  const std::vector<std::string> names = drnas::genotype_names();
  CHECK(names == std::vector<std::string>{
                     "DrNAS_cifar10", "DrNAS_imagenet", "PC_DARTS_cifar", "PC_DARTS_image",
                     "DARTS_V1",      "DARTS_V2",       "NASNet",         "AmoebaNet",
                     "PDARTS",        "SNAS_mild",      "SNAS_moderate",  "SNAS_aggressive",
                     "GDAS_V1",       "SETN",           "ASHA200",        "edarts4",
                     "SDARTS_RS_S1",  "SDARTS_RS_S2",   "SDARTS_RS_S3",   "SDARTS_RS_S4",
                     "SDARTS_RS",     "SDARTS_ADV_S1",  "SDARTS_ADV_S2",  "SDARTS_ADV_S3",
                     "SDARTS_ADV_S4", "SDARTS_ADV"});
  for (const std::string& name : names) {
    const DartsGenotype genotype = parse(drnas::find_genotype(name).text);
    const int nodes = name == "NASNet" || name == "AmoebaNet" ? 5 : 4;
    CHECK(genotype.normal.nodes() == nodes);
    CHECK(genotype.reduce.nodes() == nodes);
    CHECK(to_string(genotype) == drnas::find_genotype(name).text);
    CHECK(drnas::find_genotype(name).space == &drnas::darts_space());
  }
  const auto named = [](const char* name) { return parse(drnas::find_genotype(name).text); };
  CHECK(named("AmoebaNet").reduce.genes.back() == DartsGene{"sep_conv_3x3", 5});
  CHECK(named("NASNet").reduce.concat == std::vector<int>{4, 5, 6});
}

TEST_CASE("darts genotype: those of the published implementation's files") {
  for (const auto& [file, name] : {std::pair{"darts_derived_c8_l4", "DrNAS_cifar10"},
                                   {"darts_derived_imagenet_c8_l4", "DrNAS_imagenet"}}) {
    const auto path = drnas::test::golden_file(std::string(file) + ".safetensors");
    if (!path) {
      MESSAGE("skipped: DRNAS_GOLDEN_DIR names no folder with ", file);
      continue;
    }
    const std::string text = drnas::SafetensorsFile(*path).metadata_at("genotype");
    CHECK(drnas::find_genotype(name).text == text);
  }
  if (const auto path = drnas::test::golden_file("darts_search_c8_l3_k1.safetensors")) {
    std::string ops;
    for (const std::string& op : drnas::darts_search_ops()) ops += (ops.empty() ? "" : ",") + op;
    CHECK(drnas::SafetensorsFile(*path).metadata_at("ops") == ops);
  }
}

TEST_CASE("darts genotype: the operations of the search space are known ones") {
  const std::vector<std::string> ops = drnas::darts_search_ops();
  std::vector<std::string> with_none = drnas::darts_search_ops(true);
  CHECK(ops.size() == 7);
  for (const std::string& op : ops) {
    CHECK(std::count(drnas::darts_known_ops.begin(), drnas::darts_known_ops.end(), op) == 1);
  }
  REQUIRE(with_none.front() == "none");
  with_none.erase(with_none.begin());
  CHECK(with_none == ops);
}

namespace {

/// Tries every pair of (edge, op) choices of a node; the best has the strongest first edge, then
/// the strongest second one, then the lowest edges and operations.
std::vector<DartsGene> best_pair(const Table& mean, const std::vector<std::string>& ops, int node) {
  using Rank = std::tuple<double, double, int, int, int, int>;
  const int count = static_cast<int>(ops.size());
  const auto row = [&](int source) -> const std::vector<double>& {
    return mean[static_cast<std::size_t>((node - 2) * (node + 1) / 2 + source)];
  };
  const auto weight = [&](int source, int op) { return row(source)[static_cast<std::size_t>(op)]; };
  const auto allowed = [&](int op) { return ops[static_cast<std::size_t>(op)] != "none"; };
  Rank best{-1, -1, 0, 0, 0, 0};
  for (int a = 0; a < node; ++a) {
    for (int b = 0; b < node; ++b) {
      for (int p = 0; p < count; ++p) {
        for (int q = 0; q < count; ++q) {
          if (a == b || !allowed(p) || !allowed(q)) continue;
          best = std::max(best, Rank{weight(a, p), weight(b, q), -a, -b, -p, -q});
        }
      }
    }
  }
  const auto [wa, wb, a, b, p, q] = best;
  return {{ops[static_cast<std::size_t>(-p)], -a}, {ops[static_cast<std::size_t>(-q)], -b}};
}

/// `levels` distinct weights at most, to have ties; some pruned to 0.
Table random_table(std::size_t ops, int levels, double pruned, std::mt19937& random) {
  Table mean(drnas::darts_edges, std::vector<double>(ops));
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (auto& row : mean) {
    for (double& v : row) {
      v = uniform(random) < pruned ? 0.0 : std::ceil(uniform(random) * levels) / levels;
    }
  }
  return mean;
}

}  // namespace

TEST_CASE("darts genotype: derived as a search over all pairs of edges does") {
  std::mt19937 random(11);
  for (int round = 0; round < 400; ++round) {
    const std::vector<std::string> ops = drnas::darts_search_ops(round % 2 == 0);
    const int levels = round % 3 == 0 ? 1 << 20 : 2 + round % 7;
    const double pruned = 0.3 * (round % 4);
    const Table normal = random_table(ops.size(), levels, pruned, random);
    const Table reduce = random_table(ops.size(), levels, pruned, random);
    const DartsGenotype derived = drnas::derive_darts_genotype(normal, reduce, ops);
    CHECK_NOTHROW(drnas::check_darts_genotype(derived, "derived"));
    DartsGenotype expected;
    for (int node = 2; node < 6; ++node) {
      for (const DartsGene& gene : best_pair(normal, ops, node))
        expected.normal.genes.push_back(gene);
      for (const DartsGene& gene : best_pair(reduce, ops, node))
        expected.reduce.genes.push_back(gene);
    }
    expected.normal.concat = expected.reduce.concat = {2, 3, 4, 5};
    CHECK(derived == expected);
  }
}

TEST_CASE("darts genotype: derived from a strong none, ties and pruned operations") {
  const std::vector<std::string> ops = drnas::darts_search_ops(true);
  Table normal(14, std::vector<double>(8, 0.0)), reduce = normal;
  for (auto& row : normal) row[0] = 0.9;  // none
  normal[1][5] = normal[3][4] = 0.1;      // 2<-1, 3<-1
  normal[4][7] = 0.2;                     // 3<-2
  normal[13][3] = normal[10][6] = 0.05;   // 5<-4, 5<-1
  const DartsGenotype derived = drnas::derive_darts_genotype(normal, reduce, ops);
  CHECK(to_string(derived) ==
        "Genotype(normal=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('dil_conv_5x5', 2), "
        "('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('dil_conv_3x3', 1), "
        "('skip_connect', 4)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
        "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
        "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1)], "
        "reduce_concat=range(2, 6))");
}

TEST_CASE("darts genotype: derived only from a whole table of weights") {
  const std::vector<std::string> ops = drnas::darts_search_ops();
  const Table good(14, std::vector<double>(7, 0.1));
  const auto fails = [&](const Table& reduce, std::initializer_list<std::string> parts) {
    check_fails([&] { drnas::derive_darts_genotype(good, reduce, ops); }, parts);
  };
  Table bad = good;
  bad.pop_back();
  fails(bad, {"reduce has 13 edges", "expected 14"});
  bad = good;
  bad[4].push_back(0);
  fails(bad, {"reduce, edge 3<-2 has 8 weights", "expected 7"});
  for (const double weight : {-0.1, std::nan(""), std::numeric_limits<double>::infinity()}) {
    bad = good;
    bad[13][3] = weight;
    fails(bad, {"reduce, edge 5<-4", "sep_conv_3x3", "expected a mean of at least 0"});
  }
  const auto refused = [&](const std::vector<std::string>& names,
                           std::initializer_list<std::string> parts) {
    const Table table(14, std::vector<double>(names.size(), 0.1));
    check_fails([&] { drnas::derive_darts_genotype(table, table, names); }, parts);
  };
  refused({"none", "conv_3x3"}, {"'conv_3x3'", "sep_conv_3x3", "dil_conv_5x5"});
  refused({"skip_connect", "skip_connect"}, {"skip_connect twice"});
  refused({"none"}, {"besides none"});
  refused({}, {"besides none"});
}

TEST_CASE("darts genotype: a name, a genotype or a file") {
  const TemporaryFolder folder;
  const std::string file = (folder.path / "genotype.txt").string();
  const auto read_file = [&](const std::string& content) {
    drnas::write_file_atomically(file, content);
    return drnas::find_genotype(file).text;
  };
  const drnas::Nb201Cell cell{{3, 3, 3, 1, 3, 4}};
  for (const std::string& text : {to_string(cell), " " + to_string(cell) + "\n"}) {
    CHECK(drnas::find_genotype(text).text == to_string(cell));
    CHECK(drnas::find_genotype(text).space == &drnas::nb201_space());
    CHECK(read_file(text) == to_string(cell));
  }
  for (const std::string& text : {small_text, small_json, "\n" + small_text + "\r\n"}) {
    CHECK(drnas::find_genotype(text).text == to_string(small));
    CHECK(read_file(text) == to_string(small));
  }
}

TEST_CASE("darts genotype: what is no name, genotype or file is refused") {
  const TemporaryFolder folder;
  const auto fails = [](const std::string& text, std::initializer_list<std::string> parts) {
    check_fails([&] { drnas::find_genotype(text); }, parts);
    check_fails([&] { drnas::find_genotype(text); }, {"expected"});
  };
  for (const std::string& text :
       {std::string("DARTS_V3"), std::string(), std::string("a\nb"), std::string("Genotype"),
        std::string(100000, 'x'), (folder.path / "missing").string()}) {
    fails(text, {"no such file", "DrNAS_cifar10, DrNAS_imagenet", "AmoebaNet",
                 "Genotype(normal=", "|op~0|"});
  }
  fails(folder.path.string(), {folder.path.string(), "is a directory", "NASNet"});
  fails("|none~1|", {"genotype: ", "edge 1<-0"});
  fails("Genotype (normal=\n3)", {"genotype: ", "a list of ops"});
  fails("{", {"genotype: ", "one of normal"});
  const std::string file = (folder.path / "g.txt").string();
  const auto fails_in_file = [&](const std::string& content,
                                 std::initializer_list<std::string> parts) {
    drnas::write_file_atomically(file, content);
    fails(file, parts);
    fails(file, {file + ": "});
  };
  fails_in_file("", {"holds no genotype"});
  fails_in_file("DARTS_V1", {"holds no genotype", "Genotype(normal="});
  fails_in_file("|none~0|\n|none~0|", {"'+|' of node 2"});
  fails_in_file(small_text + "\n" + small_text, {"the end", "'Genotype("});
  fails_in_file(std::string(70000, '|'), {"70000 bytes", "at most 65536"});
}
