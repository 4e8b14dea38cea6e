// SPDX-License-Identifier: MIT
#include "engine/stream.h"
#include "nas/method/law.h"

namespace drnas {
namespace {

class EdgeWeightedLaw final : public Law {
 public:
  EdgeWeightedLaw(Alpha alpha, const std::vector<int>& node_of_edge, bool simplex)
      : Law(std::move(alpha)), node_of_edge_(node_of_edge), simplex_(simplex) {
    if (static_cast<int>(node_of_edge.size()) != alpha_.edges)
      throw Error("law: " + std::to_string(node_of_edge.size()) +
                  " nodes, expected one for each of " + std::to_string(alpha_.edges) + " edges");
    for (Tensor* t : {&shares_, &theta_, &dshares_}) *t = alpha_.make_table();
    if (simplex) alpha_.start_uniform(EdgeWeightedLaw::simplex_sets());
    sets_ = upload_sets(EdgeWeightedLaw::simplex_sets(), alpha_.device());
  }

  const Tensor& draw(const std::uint32_t*) override {
    compute_shares();
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::weigh_edges<D>(alpha_.edges, operations(), shares_.data<double>(),
                                theta_.data<double>(), compute_stream(D));
      });
    });
    return theta_;
  }

  void backward(const Tensor& dtheta) override {
    const Tensor& to = simplex_ ? alpha_.gradient : dshares_;
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::weigh_edges_backward<D>(alpha_.edges, operations(), shares_.data<double>(),
                                         dtheta.data<double>(), to.data<double>(),
                                         compute_stream(D));
        if (simplex_) return;
        kernels::softmax_sets_backward<D>(entry_sets(sets_), shares_.data<double>(),
                                          dshares_.data<double>(), alpha_.gradient.data<double>(),
                                          compute_stream(D));
      });
    });
  }

  std::vector<std::vector<double>> mean() const override {
    std::vector<std::vector<double>> rows = concentrations();
    const std::vector<double> weights = edge_weights();
    for (std::size_t edge = 0; edge < rows.size(); ++edge)
      for (double& share : rows[edge]) share *= weights[edge];
    return rows;
  }
  std::vector<std::vector<double>> ranked_by(Ranking) const override { return mean(); }
  std::vector<std::vector<double>> concentrations() const override {
    compute_shares();
    return operation_rows(shares_);
  }
  std::vector<double> edge_weights() const override {
    compute_shares();
    std::vector<double> weights;
    for (const std::vector<double>& row : alpha_.rows(shares_)) weights.push_back(row.back());
    return weights;
  }
  std::vector<kernels::EntrySet> simplex_sets() const override {
    std::vector<kernels::EntrySet> sets;
    for (int edge = 0; edge < alpha_.edges; ++edge)
      sets.push_back({edge * alpha_.ops, operations(), 1});
    for (int edge = 0; edge < alpha_.edges;) {
      int count = 1;
      while (edge + count < alpha_.edges && node_of_edge_[static_cast<std::size_t>(edge + count)] ==
                                                node_of_edge_[static_cast<std::size_t>(edge)])
        ++count;
      sets.push_back({edge * alpha_.ops + operations(), count, alpha_.ops});
      edge += count;
    }
    return sets;
  }

 protected:
  int operations() const override { return alpha_.ops - 1; }

 private:
  /// The share of each operation of its edge, and of each edge of its node.
  void compute_shares() const {
    if (simplex_) return copy(alpha_.values, shares_);
    dispatch(shares_.device(), [&]<Device D>() {
      execute([&] {
        kernels::softmax_sets<D>(entry_sets(sets_), alpha_.values.data<double>(),
                                 shares_.data<double>(), compute_stream(D));
      });
    });
  }

  std::vector<int> node_of_edge_;
  bool simplex_;
  Tensor sets_, shares_, theta_, dshares_;
};

}  // namespace

std::unique_ptr<Law> make_edge_weighted_law(Alpha alpha, const std::vector<int>& node_of_edge,
                                            bool simplex) {
  return std::make_unique<EdgeWeightedLaw>(std::move(alpha), node_of_edge, simplex);
}

}  // namespace drnas
