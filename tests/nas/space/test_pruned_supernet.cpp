// SPDX-License-Identifier: MIT
// A supernet that lacks pruned operations against the full one whose mixing weights are zero there.
#include <map>

#include "nas/space/nb201/nb201_supernet.h"
#include "tests/nas/space/pruned.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int edges = Nb201Supernet::edges, ops = Nb201Supernet::ops, images = 6, size = 16;

SupernetOptions options_of(int parts, RawOutputs mode, const Kept& kept) {
  SupernetOptions options{8, 1, 10, parts, mode};
  options.kept = kept;
  return options;
}

Tensor random_images() {
  auto rng = generator(71);
  const Doubles pixels = normals(rng, images * size * size * 3);
  Tensor t({images, size, size, 3}, MemoryTag::data);
  std::copy(pixels.begin(), pixels.end(), t.data());
  return t;
}

using Named = std::map<std::string, Doubles>;

Named by_name(const std::vector<NamedSlice>& slices, const Tensor& values) {
  Named out;
  for (const NamedSlice& s : slices) {
    const float* first = values.data() + s.offset;
    out[s.name] = Doubles(first, first + s.shape.elements());
  }
  return out;
}

/// Copies what both networks have.
void copy_weights(const ParameterStore& from, const ParameterStore& to) {
  const Named weights = by_name(from.parameters(), from.weights());
  for (const NamedSlice& s : to.parameters()) {
    const Doubles& values = weights.at(s.name);
    REQUIRE(static_cast<std::int64_t>(values.size()) == s.shape.elements());
    std::copy(values.begin(), values.end(), to.weights().data() + s.offset);
  }
}

struct Pass {
  Doubles logits, dtheta;
  double loss = 0;
  Named gradients, statistics;
  std::int64_t activation_bytes = 0;  // of everything that lives after the forward pass
};

Pass run(const Nb201Supernet& net, const Doubles& mixing, bool training) {
  Tensor values({1, 1, edges, ops}, MemoryTag::optimizer, Device::cpu, DType::f64);
  std::copy(mixing.begin(), mixing.end(), values.data<double>());
  const Variable theta(values, "theta");
  Tensor labels({1, 1, 1, images}, MemoryTag::data, Device::cpu, DType::i32);
  for (int i = 0; i < images; ++i) labels.data<std::int32_t>()[i] = i % 4;
  Tape tape(Device::cpu, training);
  Pass out;
  const auto live = [] {
    return Allocator::of(Device::cpu)
        .counters()
        .live_by_tag[static_cast<std::size_t>(MemoryTag::activations)];
  };
  const std::int64_t before = live();
  const Variable logits = net.forward(tape, Variable(random_images()), theta, training);
  out.activation_bytes = live() - before;
  const LossResult loss = cross_entropy(tape, "loss", logits, labels);
  out.logits.assign(logits.value().data(), logits.value().data() + logits.value().elements());
  out.loss = loss.read().loss;
  const ParameterStore& store = net.parameters();
  out.statistics = by_name(store.statistics(), store.statistics_buffer());
  if (!training) return out;
  std::vector<Variable> wanted = net.leaves();
  wanted.push_back(theta);
  tape.backward(loss.loss, wanted);
  const double* dtheta = theta.gradient().data<double>();
  out.dtheta.assign(dtheta, dtheta + edges * ops);
  out.gradients = by_name(store.parameters(), store.gradients());
  return out;
}

/// Batch norms over six images enlarge roundings a few hundred times.
constexpr double tolerance = 2000 * float_epsilon;

void check_same(const Named& pruned, const Named& full) {
  for (const auto& part : pruned) {
    CAPTURE(part.first);
    CHECK(max_error(part.second, full.at(part.first), 1e-4) < tolerance);
  }
}

Doubles random_mixing(std::mt19937_64& rng, const Kept& kept) {
  std::gamma_distribution<double> gamma(1.0);
  Doubles mixing;
  for (const std::uint8_t k : kept) mixing.push_back(k * (0.1 + gamma(rng)));
  return mixing;
}

/// Statistics move in training: evaluation comes last and uses what training left.
void check_pruned(std::mt19937_64& rng, int parts, RawOutputs mode, const Kept& kept) {
  const Nb201Supernet full(options_of(parts, mode, {}), 5),
      pruned(options_of(parts, mode, kept), 6);
  copy_weights(full.parameters(), pruned.parameters());
  const Doubles mixing = random_mixing(rng, kept);
  const Pass a = run(full, mixing, true), b = run(pruned, mixing, true);
  CHECK(max_error(b.logits, a.logits) < tolerance);
  CHECK(b.loss == doctest::Approx(a.loss).epsilon(tolerance));
  Doubles dtheta = a.dtheta;
  for (std::size_t i = 0; i < dtheta.size(); ++i) dtheta[i] *= kept[i];
  CHECK(max_error(b.dtheta, dtheta) < tolerance);
  check_same(b.gradients, a.gradients);
  check_same(b.statistics, a.statistics);
  const Pass still_a = run(full, mixing, false), still_b = run(pruned, mixing, false);
  CHECK(max_error(still_b.logits, still_a.logits) < tolerance);
  CHECK(still_b.loss == doctest::Approx(still_a.loss).epsilon(tolerance));
}

template <class Body>
void each_mask(std::mt19937_64& rng, const Body& body) {
  const auto check = [&](const Kept& kept) {
    std::string mask;
    for (const int k : kept) mask += std::to_string(k);
    CAPTURE(mask);
    body(kept);
  };
  for (int trial = 0; trial < 3; ++trial) check(random_kept(rng, edges, ops));
  check(kept_everywhere(edges, ops, {3}));
  check(kept_everywhere(edges, ops, {1, 4}));
}

}  // namespace

TEST_CASE("pruned supernet: results, gradients and statistics of the full one at theta = 0") {
  auto rng = generator(72);
  for (const int parts : {1, 4})
    each_mask(rng, [&](const Kept& kept) {
      CAPTURE(parts);
      check_pruned(rng, parts, RawOutputs::rebuild_1x1, kept);
    });
  check_pruned(rng, 2, RawOutputs::store, random_kept(rng, edges, ops));
  check_pruned(rng, 2, RawOutputs::rebuild, random_kept(rng, edges, ops));
}

TEST_CASE("pruned supernet: keeping everything is the full one, bit by bit") {
  auto rng = generator(73);
  const Kept all(edges * ops, 1);
  const Nb201Supernet full(options_of(2, RawOutputs::rebuild, {}), 5),
      kept(options_of(2, RawOutputs::rebuild, all), 5);
  const Doubles mixing = random_mixing(rng, all);
  const Pass a = run(full, mixing, true), b = run(kept, mixing, true);
  CHECK(a.logits == b.logits);
  CHECK(a.dtheta == b.dtheta);
  CHECK(a.gradients == b.gradients);
  CHECK(a.statistics == b.statistics);
}

TEST_CASE("pruned supernet: what is pruned holds no weights, statistics or activations") {
  auto rng = generator(74);
  const bool checks = Allocator::of(Device::cpu).set_checks(false);
  for (const int parts : {1, 2})
    each_mask(rng, [&](const Kept& kept) {
      const Nb201Supernet full(options_of(parts, RawOutputs::store, {}), 5),
          pruned(options_of(parts, RawOutputs::store, kept), 5);
      const auto statistics = [](const Nb201Supernet& net) {
        std::int64_t sum = 0;
        for (const NamedSlice& s : net.parameters().statistics()) sum += s.shape.elements();
        return sum;
      };
      const auto round_up = [](std::int64_t n, std::int64_t step) {
        return (n + step - 1) / step * step;
      };
      std::int64_t weights = 0, channels = 0, bytes = 0;
      for (int stage = 0; stage < 3; ++stage) {
        const std::int64_t c = (8 << stage) / parts, side = size >> stage;
        for (const int op : {2, 3}) {
          for (int e = 0; e < edges; ++e)
            weights += kept[e * ops + op] ? 0 : (op == 2 ? 1 : 9) * c * c;
          for (int e = 0; e < edges; ++e) channels += kept[e * ops + op] ? 0 : 2 * c;
          // Raw outputs of the bundles that leave nodes 0, 1, 2 (edges 0 1 3, 2 4, 5).
          for (const std::vector<int>& bundle : {std::vector{0, 1, 3}, {2, 4}, {5}}) {
            std::int64_t present = 0;
            for (const int e : bundle) present += kept[e * ops + op];
            const auto raw = [&](std::int64_t of_edges) {
              return 4 * images * side * side * round_up(of_edges * c, 8);
            };
            bytes += raw(static_cast<std::int64_t>(bundle.size())) - raw(present);
          }
        }
      }
      CHECK(full.parameters().count() - pruned.parameters().count() == weights);
      CHECK(statistics(full) - statistics(pruned) == channels);
      const Doubles mixing = random_mixing(rng, kept);
      CHECK(run(full, mixing, true).activation_bytes - run(pruned, mixing, true).activation_bytes ==
            bytes);
    });
  Allocator::of(Device::cpu).set_checks(checks);
}

TEST_CASE("pruned supernet: the kept operations have their published names") {
  Kept kept = kept_everywhere(edges, ops, {0});
  kept[2 * ops + 3] = 1;  // 3x3 on 2<-1
  const Nb201Supernet net(options_of(1, RawOutputs::store, kept), 5);
  std::vector<std::string> names;
  for (const NamedSlice& s : net.parameters().parameters())
    if (s.name.find(".edges.") != std::string::npos) names.push_back(s.name);
  CHECK(names == std::vector<std::string>{"cells.0.edges.2<-1.3.op.1.weight",
                                          "cells.2.edges.2<-1.3.op.1.weight",
                                          "cells.4.edges.2<-1.3.op.1.weight"});
}

TEST_CASE("pruned supernet: masks of another length, and edges without operations, are refused") {
  CHECK_THROWS_WITH_AS(Nb201Supernet(options_of(1, RawOutputs::store, Kept(29, 1)), 1),
                       "supernet: 29 operations kept or not, expected 30", Error);
  Kept kept(edges * ops, 1);
  std::fill_n(kept.begin() + 4 * ops, ops, 0);
  CHECK_THROWS_WITH_AS(Nb201Supernet(options_of(1, RawOutputs::store, kept), 1),
                       "supernet: edge 3<-1 keeps no operation, expected one at least", Error);
}
