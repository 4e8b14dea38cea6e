// SPDX-License-Identifier: MIT
// A cell out of bundle and node mix kernels alone: float64 gradients against finite differences,
// float32 against float64.
#include <array>

#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/node_mix.h"
#include "tests/kernels/bundle/node_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::ConvBundle;
using kernels::NodeMix;

namespace {

constexpr std::array<int, 2> sizes{1, 3};
constexpr double eps = 1e-5;

using Weights =
    std::vector<std::array<Doubles, 2>>;  // [source][size], [outgoing edges * c, k, k, c]

/// Nodes 0 .. nodes-1, an edge from each to all later ones: 1x1, 3x3, identity, average pool with
/// their own thetas.
struct Cell {
  Images g;
  int nodes;
  Doubles x, theta, slope;  // loss = sum slope * last node
  Weights weights;

  Cell(std::mt19937_64& rng, const Images& images, int node_count) : g(images), nodes(node_count) {
    // Values near the ReLU's edge would make finite differences, and masks in float32, arbitrary.
    do {
      x = normals(rng, g.count());
      weights.clear();
      for (int source = 0; source + 1 < nodes; ++source) {
        weights.emplace_back();
        for (int s = 0; s < 2; ++s)
          weights.back()[s] = normals(rng, std::int64_t{rows(source)} * sizes[s] * sizes[s] * g.c);
      }
      theta.clear();
      std::uniform_real_distribution<double> uniform(0.1, 1.0);
      for (int i = 0; i < 4 * nodes * (nodes - 1) / 2; ++i) theta.push_back(uniform(rng));
    } while (nearest_to_zero() < 1e-4);
    slope = normals(rng, g.count());
  }

  int rows(int source) const { return (nodes - 1 - source) * g.c; }
  static int first_theta(int node, int source) { return 4 * (node * (node - 1) / 2 + source); }

  /// One kernel size of one edge: its rows of the bundle's raw outputs, normalised by their own
  /// statistics.
  MixTerm term(const Bounded& z, int source, int node, int size) const {
    const int all = rows(source), first = (node - source - 1) * g.c;
    MixTerm t{{}, {}, {}, first_theta(node, source) + size};
    for (std::size_t i = 0; i < z.value.size(); ++i)
      if (const int row = static_cast<int>(i % all); row >= first && row < first + g.c)
        t.z.push_back(z.value[i]);
    const Moments m(t.z, g.c);
    t.mean = m.mean;
    for (const double var : m.var) t.inv_std.push_back(1 / std::sqrt(var + eps));
    return t;
  }

  /// All nodes; `mixes`, where given, collects what node j = 1, 2, ... was made of.
  std::vector<Doubles> forward(std::vector<MixReference>* mixes = nullptr) const {
    std::vector<Doubles> node{x};
    std::vector<std::array<Bounded, 2>> z;
    for (int j = 1; j < nodes; ++j) {
      z.emplace_back();
      for (int s = 0; s < 2; ++s)
        z.back()[s] = convolve(g, node[j - 1], weights[j - 1][s], rows(j - 1), sizes[s]);
      MixReference mix{{g, theta, {}, {}}};
      for (int i = 0; i < j; ++i) {
        for (int s = 0; s < 2; ++s) mix.terms.push_back(term(z[i][s], i, j, s));
        mix.sources.push_back({node[i], first_theta(j, i) + 2, first_theta(j, i) + 3});
      }
      node.push_back(mix.forward().value);
      if (mixes) mixes->push_back(std::move(mix));
    }
    return node;
  }

  double loss() const { return dot(slope, forward().back()); }

  double nearest_to_zero() const {
    double least = INFINITY;
    const std::vector<Doubles> node = forward();
    for (int j = 0; j + 1 < nodes; ++j)
      for (const double v : node[j]) least = std::min(least, std::abs(v));
    return least;
  }
};

struct Gradients {
  Doubles y, x, theta;
  Weights weights;
};

Gradients reference_gradients(const Cell& cell) {
  const Images& g = cell.g;
  std::vector<MixReference> mixes;
  const std::vector<Doubles> node = cell.forward(&mixes);
  Gradients out{node.back(), {}, Doubles(cell.theta.size(), 0.0), Weights(cell.nodes - 1)};
  std::vector<MixReference::Gradients> d(cell.nodes);
  std::vector<Doubles> dy(cell.nodes);
  dy.back() = cell.slope;
  for (int i = cell.nodes - 1; i >= 0; --i) {
    if (i + 1 < cell.nodes) {
      Bounded dx(g.count());
      for (int s = 0; s < 2; ++s) {
        const int rows = cell.rows(i);
        Bounded dz(g.pixels() * rows);
        for (int j = i + 1; j < cell.nodes; ++j)
          for (std::int64_t p = 0; p < g.pixels() * g.c; ++p)
            dz.add(p / g.c * rows + (j - i - 1) * g.c + p % g.c, d[j].z[2 * i + s].value[p]);
        out.weights[i][s] =
            convolve_adjoint(g, node[i], cell.weights[i][s], rows, sizes[s], dz, dx).value;
      }
      for (int j = i + 1; j < cell.nodes; ++j) {
        const int t = Cell::first_theta(j, i);
        add_pass_through(g, dy[j], cell.theta[t + 2], cell.theta[t + 3], dx);
      }
      dy[i] = dx.value;
    }
    if (i == 0) break;
    d[i] = mixes[i - 1].backward(dy[i]);
    for (std::size_t t = 0; t < out.theta.size(); ++t) out.theta[t] += d[i].theta.value[t];
  }
  out.x = dy[0];
  return out;
}

/// The cell on the float32 kernels.
class KernelCell {
 public:
  explicit KernelCell(const Cell& cell) : cell_(cell) {}

  Gradients run() {
    const int last = cell_.nodes - 1;
    node_ = {b_.input(cell_.x)};
    dtheta_ = b_.output<double>("dtheta", Doubles(cell_.theta.size(), 0.0));
    for (int j = 1; j <= last; ++j) {
      run_bundle(j - 1);
      node_.push_back(b_.output(named("node", j), cell_.g.count()));
      const NodeMix mix = mix_of(j);
      kernels::node_mix_forward<Device::cpu>(
          mix, node_[j], b_.workspace(kernels::node_mix_workspace<Device::cpu>(mix)), nullptr);
    }
    dy_.resize(cell_.nodes);
    coefficients_.resize(cell_.nodes);
    dy_[last] = b_.input(cell_.slope);
    for (int i = last; i >= 0; --i) {
      if (i < last) run_bundle_backward(i);
      if (i > 0) run_mix_backward(i);
    }
    for (const bool intact : b_.intact()) CHECK(intact);
    const Results all = b_.results();
    Gradients out{all.at(named("node", last)), all.at("dx 0"), all.at("dtheta"), {}};
    for (int i = 0; i < last; ++i)
      out.weights.push_back({all.at(named("dweight 1x1", i)), all.at(named("dweight 3x3", i))});
    return out;
  }

 private:
  static std::string named(const char* what, int of) { return what + (" " + std::to_string(of)); }

  void run_bundle(int source) {
    const Images& g = cell_.g;
    kernels::ConvBundleForward& f = bundles_.emplace_back();
    f.bundle = {g.n, g.h, g.w, g.c, g.channels, cell_.nodes - 1 - source, 2, {sizes[0], sizes[1]}};
    f.x = node_[source];
    f.training = true;
    f.eps = static_cast<float>(eps);
    for (int s = 0; s < 2; ++s) {
      f.weight[s] = b_.input(cell_.weights[source][s]);
      f.z[s] = b_.output("", g.pixels() * f.bundle.z_channels(s));
      f.mean[s] = b_.output("", cell_.rows(source));
      f.inv_std[s] = b_.output("", cell_.rows(source));
    }
    kernels::conv_bundle_forward<Device::cpu>(
        f, b_.workspace(kernels::conv_bundle_forward_workspace<Device::cpu>(f.bundle)), nullptr);
  }

  NodeMix mix_of(int j) const {
    const Images& g = cell_.g;
    NodeMix mix{g.n, g.h, g.w, g.c, g.channels, 2 * j, j, {}, {}, cell_.theta.data()};
    for (int i = 0; i < j; ++i) {
      const kernels::ConvBundleForward& f = bundles_[i];
      const int first = (j - i - 1) * g.c, t = Cell::first_theta(j, i);
      for (int s = 0; s < 2; ++s)
        mix.term[2 * i + s] = {f.z[s] + first, f.bundle.z_channels(s), f.mean[s] + first,
                               f.inv_std[s] + first, t + s};
      mix.source[i] = {node_[i], t + 2, t + 3};
    }
    return mix;
  }

  void run_mix_backward(int j) {
    kernels::NodeMixBackward k{mix_of(j), dy_[j], {}, dtheta_};
    coefficients_[j] = b_.output("", std::int64_t{3} * cell_.g.c * k.mix.terms);
    for (int t = 0; t < k.mix.terms; ++t) k.coefficients[t] = coefficients(j, t);
    kernels::node_mix_backward<Device::cpu>(
        k, b_.workspace(kernels::node_mix_backward_workspace<Device::cpu>(k.mix)), nullptr);
  }

  float* coefficients(int j, int term) const {
    return coefficients_[j] + std::int64_t{3} * cell_.g.c * term;
  }

  void run_bundle_backward(int i) {
    const kernels::ConvBundleForward& f = bundles_[i];
    kernels::ConvBundleBackward k{};
    k.bundle = f.bundle;
    k.x = f.x;
    for (int s = 0; s < 2; ++s) {
      k.weight[s] = f.weight[s];
      k.z[s] = f.z[s];
      k.dweight[s] =
          b_.output(named(s ? "dweight 3x3" : "dweight 1x1", i), f.bundle.weight_count(s));
    }
    for (int j = i + 1; j < cell_.nodes; ++j) {
      const double* theta = cell_.theta.data() + Cell::first_theta(j, i);
      k.edge[j - i - 1] = {
          dy_[j], {coefficients(j, 2 * i), coefficients(j, 2 * i + 1)}, theta + 2, theta + 3};
    }
    k.dx = b_.output(named("dx", i), cell_.g.count());
    dy_[i] = k.dx;
    kernels::conv_bundle_backward<Device::cpu>(
        k, b_.workspace(kernels::conv_bundle_backward_workspace<Device::cpu>(k.bundle)), nullptr);
  }

  const Cell& cell_;
  Buffers<Device::cpu> b_;
  std::vector<float*> node_, coefficients_;
  std::vector<const float*> dy_;
  std::vector<kernels::ConvBundleForward> bundles_;
  double* dtheta_ = nullptr;
};

/// Calls body(values, gradient of them) for x, theta and every weight, with the gradients' common
/// scale.
template <class Body>
void each_input(Cell& cell, const Gradients& d, const Body& body) {
  body(cell.x, d.x);
  body(cell.theta, d.theta);
  for (std::size_t i = 0; i < cell.weights.size(); ++i)
    for (int s = 0; s < 2; ++s) body(cell.weights[i][s], d.weights[i][s]);
}

}  // namespace

TEST_CASE("cell kernels: gradients of a random functional") {
  auto rng = generator(71);
  const std::pair<Images, int> shapes[] = {{{2, 3, 4, 2, 4}, 3},  {{3, 3, 3, 3, 3}, 3},
                                           {{2, 4, 3, 4, 8}, 2},  {{5, 1, 3, 2, 16}, 3},
                                           {{3, 5, 1, 3, 12}, 2}, {{2, 3, 3, 8, 8}, 2}};
  for (const auto& shape : shapes) {
    const Images& images = shape.first;
    const int nodes = shape.second;
    CAPTURE(images.c);
    CAPTURE(images.channels);
    CAPTURE(nodes);
    Cell cell(rng, images, nodes);
    const Gradients d = reference_gradients(cell), k = KernelCell(cell).run();

    // Differences of a loss of size |loss| lose 2^-53 |loss| / h; some weights have no effect
    // before a batch norm.
    double scale = std::abs(cell.loss());
    for (const double v : d.x) scale = std::max(scale, std::abs(v));
    each_input(cell, d, [&](Doubles& values, const Doubles& gradient) {
      const Doubles start = values;
      const auto loss = [&](const Doubles& moved) {
        values = moved;
        return cell.loss();
      };
      const Doubles numeric = finite_differences(loss, start, 1e-6);
      values = start;
      CHECK(max_error(gradient, numeric, scale) < 1e-8);
    });

    // Sums of up to 9 * 8 products through two batch norms that divide by deviations below 1: a
    // hundred roundings.
    constexpr double tolerance = 100 * float_epsilon;
    CHECK(max_error(k.y, d.y) < tolerance);
    CHECK(max_error(k.x, d.x) < tolerance);
    CHECK(max_error(k.theta, d.theta) < tolerance);
    for (std::size_t i = 0; i < d.weights.size(); ++i)
      for (int s = 0; s < 2; ++s)
        CHECK(max_error(k.weights[i][s], d.weights[i][s], 0.1 * scale) < tolerance);
  }
}
