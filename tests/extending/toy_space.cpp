// SPDX-License-Identifier: MIT
#include "tests/extending/toy_space.h"

#include <algorithm>

#include "engine/ops/mixed_ops.h"
#include "engine/ops/ops.h"
#include "nas/space/network_builder.h"

namespace drnas::toys {
namespace {

constexpr SpaceFacts chain_facts{.name = "chain",
                                 .title = "chain space",
                                 .cells = "cells",
                                 .least_cells = 1,
                                 .half_storage = false,
                                 .clips_with_alpha = false,
                                 .imagenet_stem = false,
                                 .none_option = false,
                                 .auxiliary_head = false};
constexpr int edges = 2, ops = 3;
const std::vector<std::string> names{"none", "skip_connect", "nor_conv_3x3"};

/// Stem, then for each cell node 0 -> node 1 -> node 2, pooled into a classifier. Made of the same
/// bundles and node mixes as NAS-Bench-201's supernet.
class ChainSupernet final : public Supernet {
 public:
  ChainSupernet(const SupernetOptions& options, std::uint64_t seed, Device device)
      : Supernet(chain_space(), options, device), builder_(parameters_) {
    build();
    builder_.allocate(seed);
    build();
  }

  Variable forward(Tape& tape, const Variable& images, const Variable& theta,
                   const SupernetPass& pass) const override {
    const bool training = pass.training;
    Variable x = conv2d(tape, "stem", images, stem_, {.padding = 1});
    x = run_norm(tape, "stem.norm", stem_norm_, x, training);
    for (const std::array<BundleParameters, edges>& cell : cells_)
      for (int e = 0; e < edges; ++e) {
        const auto index = [&](int op) { return kept(e, op) ? e * ops + op : -1; };
        const Bundle bundle = conv_bundle(tape, "bundle", x, cell[e], training);
        NodeMixEdge edge{bundle, 0, {}, index(1), -1};
        if (!cell[e].kernels.empty()) edge.conv_theta = {index(2)};
        x = node_mix(tape, "node", {{edge}}, theta);
        bundle.release();
      }
    return linear(tape, "classifier", global_average(tape, "pool", x), classifier_, bias_);
  }
  const std::vector<Variable>& leaves() const override { return builder_.leaves(); }

 private:
  void build() {
    const int c = options_.channels, mixed = c / options_.partial_channels;
    stem_ = builder_.weight("stem.0.weight", {c, 3, 3, 3}, Initial::uniform(27));
    stem_norm_ = build_norm(builder_, "stem.1", c);
    cells_.clear();
    for (int i = 0; i < options_.cells; ++i) {
      std::array<BundleParameters, edges>& cell = cells_.emplace_back();
      for (int e = 0; e < edges; ++e) {
        cell[e].channels = mixed;
        if (!kept(e, 2)) continue;
        const std::string name = "cells." + std::to_string(i) + ".edges." + std::to_string(e);
        cell[e].kernels = {3};
        cell[e].rebuild = {i < options_.rebuild_cells ||
                           options_.raw_outputs == RawOutputs::rebuild};
        cell[e].weights = {builder_.weight(name + ".weight", {mixed, 3, 3, mixed},
                                           Initial::uniform(9 * mixed),
                                           {name + ".out", name + ".in"})};
        cell[e].running_mean = {builder_.statistic(name + ".mean", mixed, 0, name + ".out")};
        cell[e].running_var = {builder_.statistic(name + ".var", mixed, 1, name + ".out")};
      }
    }
    classifier_ =
        builder_.weight("classifier.weight", {1, 1, options_.classes, c}, Initial::uniform(c));
    bias_ = builder_.weight("classifier.bias", {1, 1, 1, options_.classes}, Initial::uniform(c));
  }

  NetworkBuilder builder_;
  Variable stem_, classifier_, bias_;
  NormParameters stem_norm_;
  std::vector<std::array<BundleParameters, edges>> cells_;
};

/// "chain:nor_conv_3x3,skip_connect".
class ChainSpace final : public SearchSpace {
 public:
  const SpaceFacts& facts() const override { return chain_facts; }
  std::vector<std::string> operations(bool) const override { return names; }
  std::vector<std::string> edges() const override { return {"1<-0", "2<-1"}; }
  std::vector<int> operations_by_memory(bool) const override { return {2, 1, 0}; }
  int mixed_cells(const SupernetOptions& o) const override { return o.cells; }
  double multiply_adds(const SupernetOptions& o, int side) const override {
    const double mixed = static_cast<double>(o.channels) / o.partial_channels;
    return (27.0 * o.channels + 18 * mixed * mixed * o.cells) * side * side;
  }
  std::unique_ptr<Supernet> make_supernet(const SupernetOptions& o, std::uint64_t seed,
                                          Device device) const override {
    return std::make_unique<ChainSupernet>(o, seed, device);
  }
  std::unique_ptr<DerivedNetwork> make_network(const DerivedOptions&, std::uint64_t,
                                               Device) const override {
    throw Error("the chain space has no derived network");
  }

  Architecture derive(const EdgeWeights& weights, bool) const override {
    std::string text = "chain:";
    for (const std::vector<double>& row : weights) {
      const auto largest = std::max_element(row.begin(), row.end());
      text +=
          (text.ends_with(':') ? "" : ",") + names[static_cast<std::size_t>(largest - row.begin())];
    }
    return parse(text, "genotype");
  }
  Architecture parse(std::string_view text, const std::string& what) const override {
    const std::size_t comma = text.find(',');
    if (!recognises(text) || comma == text.npos) throw Error(what + ": expected chain:OP,OP");
    const std::string_view operation[] = {text.substr(6, comma - 6), text.substr(comma + 1)};
    Architecture a;
    a.genotype = text;
    a.places = 2;
    for (int e = 0; e < 2; ++e) {
      if (std::find(names.begin(), names.end(), operation[e]) == names.end())
        throw Error(what + ": operation '" + std::string(operation[e]) + "' is not known");
      a.choices.push_back(choice_text("cell", e + 1, e, operation[e]));
      a.skips += operation[e] == skip_name;
    }
    return a;
  }
  bool recognises(std::string_view text) const override { return text.starts_with("chain:"); }
  std::string_view genotype_form() const override { return "chain:op,op"; }
  std::span<const NamedGenotype> named_genotypes() const override { return {}; }
  std::shared_ptr<const AccuracyTable> accuracy_table(const std::filesystem::path&) const override {
    return nullptr;
  }
  std::vector<CellGraph> cell_graphs(const std::string& genotype) const override {
    using enum CellNodeKind;
    CellGraph graph{"cell", {{"0", input}, {"1", intermediate}, {"2", output}}, {}};
    const Architecture a = parse(genotype, "genotype");
    for (int e = 0; e < 2; ++e)
      graph.edges.push_back({e, e + 1, a.choices[e].substr(a.choices[e].rfind(' ') + 1)});
    return {graph};
  }
  std::vector<std::string> edge_labels() const override {
    return {edge_label(0, 1), edge_label(1, 2)};
  }
};

}  // namespace

const SearchSpace& chain_space() {
  static const ChainSpace space;
  return space;
}

}  // namespace drnas::toys
