// SPDX-License-Identifier: MIT
// Every kernel family at the shapes of a search, on either device: cells of NAS-Bench-201 with C
// 16, cells of DARTS with C 36 and K 6 on a quarter of the batch, and what stands around them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/alpha_step.h"
#include "tests/cases/augment.h"
#include "tests/cases/batch_norm.h"
#include "tests/cases/conv1x1_planes.h"
#include "tests/cases/conv2d.h"
#include "tests/cases/conv_bundle.h"
#include "tests/cases/cross_entropy.h"
#include "tests/cases/dirichlet.h"
#include "tests/cases/drop_path.h"
#include "tests/cases/elementwise.h"
#include "tests/cases/linear.h"
#include "tests/cases/mixing.h"
#include "tests/cases/node_mix.h"
#include "tests/cases/optimizer.h"
#include "tests/cases/philox_fill.h"
#include "tests/cases/plane_mix.h"
#include "tests/cases/plane_norm.h"
#include "tests/cases/plane_pool.h"
#include "tests/cases/planes.h"
#include "tests/cases/pool2d.h"
#include "tests/cases/separable.h"
#include "tests/cases/softmax_rows.h"

namespace drnas::bench {

/// Images, channels of a node (or rows of a table), its side in pixels (or columns), and K.
struct NodeSize {
  int batch, channels, size, parts = 1;

  int c() const { return channels / parts; }
  std::int64_t pixels() const { return std::int64_t{size} * size; }
  std::int64_t values() const { return batch * channels * pixels(); }
};

/// One call of a family.
template <Device D>
struct KernelBenchmark {
  using Place = std::function<test::Call(test::Buffers<D>&)>;
  std::string family, call;
  NodeSize node;
  std::function<Place()> make;  ///< the case, which may then be placed many times
};

template <Device D>
class KernelBenchmarks {
 public:
  std::vector<KernelBenchmark<D>> all;

  /// make(rng) gives a case, place(case, buffers) a call of it.
  template <class Make, class Place>
  void add(const char* family, const std::string& call, const NodeSize& node, const Make& make,
           const Place& place) {
    all.push_back({family, call, node, [make, place] {
                     test::Rng rng(1);
                     auto made = std::make_shared<const decltype(make(rng))>(make(rng));
                     return [made, place](test::Buffers<D>& b) { return place(*made, b); };
                   }});
  }
};

inline constexpr auto forward = [](auto& c, auto& b) { return c.forward(b); };
inline constexpr auto backward = [](auto& c, auto& b) { return c.backward(b); };

/// Cells on NHWC: the bundle that leaves node 0 (three edges, 1x1 and 3x3) and node 3's mix of it.
template <Device D>
void add_bundle_families(KernelBenchmarks<D>& list, const NodeSize& node) {
  const auto bundle = [=](test::Rng& rng) {
    test::ConvBundleCase c(
        rng, test::make_bundle(node.batch, node.size, node.size, node.c(), node.parts, 3, {1, 3}));
    for (auto* weights : {&c.skip, &c.pool}) weights->assign(3, 0.2);
    return c;
  };
  list.add("conv_bundle", "forward", node, bundle, forward);
  list.add("conv_bundle", "backward", node, bundle, backward);
  const auto mix = [=](test::Rng& rng) {
    test::NodeMixCase c(rng, {node.batch, node.size, node.size, node.c(), node.channels}, 6, 3);
    c.leave_one_node();
    return c;
  };
  list.add("node_mix", "forward", node, mix, forward);
  list.add("node_mix", "backward", node, mix, backward);
}

/// Batch norm of a node, the residual block from this section to the next, and the head.
template <Device D>
void add_layer_families(KernelBenchmarks<D>& list, const NodeSize& node) {
  using Pass = kernels::ConvPass;
  const int n = node.batch, side = node.size, c = node.channels;
  const auto norm = [=](test::Rng& rng) {
    return test::BatchNormCase(rng, node.batch * node.pixels(), node.channels, {.affine = false});
  };
  list.add("batch_norm", "forward", node, norm, forward);
  list.add("batch_norm", "backward", node, norm, backward);
  const auto convolution = [=](test::Rng& rng) {
    return test::Conv2dCase(rng, {n, side, side, c, 2 * c, 3, 2, 1});
  };
  list.add("conv2d", "forward", node, convolution,
           [](auto& k, auto& b) { return k.pass(b, Pass::forward); });
  list.add("conv2d", "backward_data", node, convolution,
           [](auto& k, auto& b) { return k.pass(b, Pass::backward_data); });
  list.add("conv2d", "backward_weight", node, convolution,
           [](auto& k, auto& b) { return k.pass(b, Pass::backward_weight); });
  if (node.channels == 16) {  // the stem, before the first section
    const auto stem = [=](test::Rng& rng) {
      return test::Conv2dCase(rng, {n, side, side, 3, c, 3, 1, 1});
    };
    list.add("conv2d", "stem_forward", node, stem,
             [](auto& k, auto& b) { return k.pass(b, Pass::forward); });
    list.add("conv2d", "stem_backward_weight", node, stem,
             [](auto& k, auto& b) { return k.pass(b, Pass::backward_weight); });
  }
  const auto pool = [=](test::Rng& rng) {
    return test::Pool2dCase(rng, {n, side, side, c, 2, 2, 0, false});
  };
  list.add("pool2d", "forward", node, pool, forward);
  list.add("pool2d", "backward", node, pool, [](auto& k, auto& b) { return k.backward(b, false); });
  const auto average = [=](test::Rng& rng) {
    return test::GlobalAverageCase(rng, n, node.pixels(), c);
  };
  list.add("pool2d", "average", node, average, forward);
  const auto head = [=](test::Rng& rng) { return test::LinearCase(rng, {n, c, 10}); };
  list.add("linear", "forward", node, head, forward);
  list.add("linear", "backward", node, head, [](auto& k, auto& b) { return k.backward(b, false); });
}

/// Depthwise-separable filters of the edges that leave one state.
template <Device D>
void add_separable(KernelBenchmarks<D>& list, const NodeSize& node, int stride) {
  const auto make = [=](test::Rng& rng) {
    const int c = node.c();
    test::SeparableCase k(rng, {node.batch, c, node.size, node.size, c, stride, 16}, false);
    k.leave_one_state(rng);
    return k;
  };
  const std::string suffix = stride == 1 ? "" : "_stride_2";
  list.add("separable", "forward" + suffix, node, make, forward);
  list.add("separable", "backward" + suffix, node, make, backward);
}

/// The preprocessing of a cell's input, four nodes to one, for one or two cells.
template <Device D>
void add_conv1x1(KernelBenchmarks<D>& list, const NodeSize& node, int outputs, int stride) {
  const auto make = [=](test::Rng& rng) {
    kernels::Conv1x1Planes p{node.batch, 4 * node.channels, node.size, node.size, true,
                             stride,     outputs,           {},        {}};
    for (int o = 0; o < outputs; ++o) p.c_out[o] = node.channels, p.offset[o] = o % stride;
    return test::Conv1x1Case(rng, p);
  };
  const std::string suffix = "_to_" + std::to_string(outputs) + (stride == 1 ? "" : "_stride_2");
  list.add("conv1x1_planes", "forward" + suffix, node, make, forward);
  list.add("conv1x1_planes", "backward" + suffix, node, make, backward);
}

/// The last node of a cell: six normalised operations and an identity on each of five edges, also
/// where values of identities are dropped.
template <Device D>
void add_plane_mix(KernelBenchmarks<D>& list, const NodeSize& node) {
  const test::PlaneShape mixed{node.batch, node.c(), node.pixels()};
  for (const bool drops : {false, true}) {
    const test::SkipDropoutCase dropout{drops ? 0.4f : -1.0f};
    const auto mix = [=](test::Rng& rng) {
      test::PlaneMixCase c(rng, mixed, node.parts, 30, 5);
      for (int s = 0; s < 5; ++s) c.sources[s].theta = s;
      c.dropout = dropout;
      return c;
    };
    const std::string suffix = drops ? "_dropped" : "";
    list.add("plane_mix", "forward" + suffix, node, mix, forward);
    list.add("plane_mix", "backward" + suffix, node, mix, backward);
    const auto sources = [=](test::Rng& rng) {
      test::SourceGradientCase c(rng, mixed, node.parts, 4, true);
      c.dropout = dropout;
      return c;
    };
    list.add("plane_mix", "source_gradient" + suffix, node, sources,
             [](auto& c, auto& b) { return c.gradient(b); });
  }
}

/// Pools of a state's partial channels for four edges, norms and layouts of whole nodes.
template <Device D>
void add_plane_families(KernelBenchmarks<D>& list, const NodeSize& node) {
  const test::PlaneShape whole{node.batch, node.channels, node.pixels()};
  const auto pool_of = [=](bool max) {
    return [=](test::Rng& rng) {
      const kernels::PlanePool p{node.batch, node.c(), node.size, node.size, 3, 1, 1, max};
      test::PlanePoolCase c(rng, p, test::normals(rng, test::input_shape(p).count()), 0, true,
                            false);
      for (int e = 0; e < 4; ++e)
        c.gradients.emplace_back(rng, test::output_shape(p), node.parts, true);
      return c;
    };
  };
  for (const bool max : {false, true}) {
    const std::string kind = max ? "max_" : "average_";
    list.add("plane_pool", kind + "forward", node, pool_of(max),
             [](auto& c, auto& b) { return c.forward(b, kernels::NormMode{}); });
    list.add("plane_pool", kind + "backward", node, pool_of(max),
             [](auto& c, auto& b) { return c.backward(b, c.before); });
  }
  const auto pools = [=](test::Rng& rng) {
    const kernels::PlanePool p{node.batch, node.c(), node.size, node.size, 3, 1, 1, true};
    return test::PlanePoolsCase(rng, p, test::normals(rng, test::input_shape(p).count()), false);
  };
  list.add("plane_pool", "both_forward", node, pools,
           [](auto& c, auto& b) { return c.forward(b, kernels::NormMode{}); });
  list.add("plane_pool", "both_backward", node, pools,
           [](auto& c, auto& b) { return c.backward(b, c.maximum.before, c.average.before); });
  const auto norm = [=](test::Rng& rng) { return test::PlaneNormCase(rng, whole, true); };
  list.add("plane_norm", "moments", node, norm,
           [](auto& c, auto& b) { return c.moments(b, kernels::NormMode{}); });
  list.add("plane_norm", "apply", node, norm, [](auto& c, auto& b) { return c.apply(b, false); });
  list.add("plane_norm", "backward", node, norm,
           [](auto& c, auto& b) { return c.backward(b, false); });
  const auto planes = [=](test::Rng& rng) { return test::PlanesCase(rng, whole); };
  list.add("planes", "to_planes", node, planes, [](auto& c, auto& b) { return c.to_planes(b); });
  list.add("planes", "from_planes", node, planes,
           [](auto& c, auto& b) { return c.from_planes(b, false); });
  list.add("planes", "add", node, planes, [](auto& c, auto& b) { return c.copy(b, true); });
  list.add("planes", "average", node, planes, [](auto& c, auto& b) { return c.average(b); });
}

/// Tables of mixing weights; node: its rows and columns.
template <Device D>
void add_alpha_families(KernelBenchmarks<D>& list, const NodeSize& table) {
  const int rows = table.channels, columns = table.size;
  const auto draw = [=](test::Rng& rng) { return test::DirichletCase(rng, rows, columns); };
  list.add("dirichlet", "sample", table, draw, [](auto& c, auto& b) { return c.sample(b); });
  list.add("dirichlet", "backward", table, draw, backward);
  const auto softmax = [=](test::Rng& rng) {
    return test::SoftmaxRowsCase(rng, rows, columns, false);
  };
  list.add("softmax_rows", "forward", table, softmax, forward);
  list.add("softmax_rows", "backward", table, softmax,
           [](auto& c, auto& b) { return c.backward(b, c.alpha); });
  const auto step = [=](test::Rng& rng) {
    return test::AlphaCase(rng, rows, columns, true, 1e-3, false);
  };
  const auto mixing = [=](test::Rng& rng) { return test::MixingCase(rng, rows, columns, false); };
  list.add("mixing", "draw", table, mixing, [](auto& c, auto& b) { return c.draw(b); });
  list.add("mixing", "edge weights", table, mixing,
           [](auto& c, auto& b) { return c.edge_weights(b); });
  list.add("alpha_step", "step", table, step, [](auto& c, auto& b) { return c.step(b); });
}

/// What stands around the network, and passes over one node and over all weights.
template <Device D>
void add_train_families(KernelBenchmarks<D>& list, const NodeSize& node, int weights = 2'000'000) {
  constexpr int classes = 10, operations = 160;
  const auto images = [=](test::Rng& rng) {
    return test::AugmentCase(rng, node.batch, node.size, 4, true, 16, 3);
  };
  list.add("augment", "batch", node, images, [](auto& c, auto& b) { return c.batch(b); });
  const auto loss = [=](test::Rng& rng) {
    return test::CrossEntropyCase(rng, node.batch, classes, 0);
  };
  list.add("cross_entropy", "forward", node, loss, forward);
  list.add("cross_entropy", "backward", node, loss, backward);
  const auto scales = [=](test::Rng&) {
    return test::DropPathCase{operations, node.batch, 0.3f, 1};
  };
  list.add("drop_path", "scales", node, scales, [](auto& c, auto& b) { return c.scales(b); });
  const auto values = [=](test::Rng& rng) { return test::ElementwiseCase(rng, node.values()); };
  list.add("elementwise", "relu", node, values, [](auto& c, auto& b) { return c.relu(b); });
  list.add("elementwise", "relu_backward", node, values,
           [](auto& c, auto& b) { return c.relu_backward(b, false); });
  list.add("elementwise", "add", node, values, [](auto& c, auto& b) { return c.add(b); });
  list.add("elementwise", "fill", node, values, [](auto& c, auto& b) { return c.fill(b, 1.0f); });
  const auto fill = [=](test::Rng&) { return test::PhiloxFillCase{node.values(), 0, 1, 1, 1}; };
  list.add("philox_fill", "uniform", node, fill, [](auto& c, auto& b) { return c.uniform(b); });
  list.add("philox_fill", "normal", node, fill, [](auto& c, auto& b) { return c.normal(b); });
  const auto norm = [=](test::Rng& rng) {
    return test::SquaredNormCase{test::normals(rng, weights), {}};
  };
  list.add("optimizer", "squared_norm", node, norm, [](auto& c, auto& b) { return c.norm(b); });
  const auto sgd = [=](test::Rng& rng) {
    return test::SgdCase(rng, weights, {.squared_norm = 4, .max_norm = 5});
  };
  list.add("optimizer", "sgd_step", node, sgd, [](auto& c, auto& b) { return c.step(b); });
}

template <Device D>
std::vector<KernelBenchmark<D>> kernel_benchmarks(int batch) {
  KernelBenchmarks<D> list;
  const int quarter = std::max(1, batch / 4);
  for (const int parts : {1, 4})
    for (int section = 0; section < 3; ++section)
      add_bundle_families(list, {batch, 16 << section, 32 >> section, parts});
  for (int section = 0; section < 3; ++section) {
    const NodeSize darts{quarter, 36 << section, 32 >> section, 6};
    add_layer_families(list, {batch, 16 << section, 32 >> section});
    add_separable(list, darts, 1);
    add_conv1x1(list, darts, 2, 1);
    add_plane_mix(list, darts);
    add_plane_families(list, darts);
  }
  for (int section = 0; section < 2; ++section) {  // the filters and inputs of reduction cells
    const NodeSize reduced{quarter, 72 << section, 32 >> section, 6};
    add_separable(list, reduced, 2);
    add_conv1x1(list, reduced, 2, 2);
  }
  add_conv1x1(list, {quarter, 36, 32, 6}, 1, 1);
  add_alpha_families(list, {1, 6, 5});
  add_alpha_families(list, {1, 28, 8});
  add_train_families(list, {batch, 16, 32});
  return std::move(list.all);
}

}  // namespace drnas::bench
