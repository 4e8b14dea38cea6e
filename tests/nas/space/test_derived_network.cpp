// SPDX-License-Identifier: MIT
#include "nas/space/derived_network.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "data/device_batch.h"
#include "engine/ops/derived_ops.h"
#include "engine/stream.h"
#include "nas/space/supernet.h"
#include "tests/support/genotypes.h"
#include "tests/support/option_files.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;

namespace {

/// Cells with every operation at stride 1 and 2, nodes that are not in the output, an input that is
/// read twice.
DartsGenotype every_operation() {
  return parse_darts_genotype(
      "Genotype(normal=[('sep_conv_3x3', 0), ('conv_7x1_1x7', 1), ('dil_conv_5x5', 2), "
      "('max_pool_3x3', 1), ('avg_pool_3x3', 0), ('conv_3x1_1x3', 1), ('sep_conv_7x7', 3), "
      "('none', 0), ('skip_connect', 2), ('sep_conv_5x5', 4)], normal_concat=[6, 5, 3], "
      "reduce=[('skip_connect', 0), ('max_pool_3x3', 1), ('avg_pool_3x3', 1), "
      "('dil_conv_3x3', 0), ('conv_7x1_1x7', 0), ('conv_3x1_1x3', 1), ('sep_conv_3x3', 1), "
      "('skip_connect', 3), ('dil_conv_5x5', 4), ('sep_conv_7x7', 1)], reduce_concat=[4, 5, 6])",
      "test");
}

DerivedOptions small_options() {
  return {.genotype = genotype_of(every_operation()),
          .channels = 4,
          .layers = 3,
          .classes = 5,
          .image_size = 16};
}

DeviceBatch make_batch(int n, int size, int classes) {
  auto rng = generator(52);
  const Doubles pixels = normals(rng, std::int64_t{n} * size * size * 3);
  std::vector<std::int32_t> labels;
  for (int i = 0; i < n; ++i) labels.push_back(i % classes);
  return {std::vector<float>(pixels.begin(), pixels.end()), labels, size, Device::cpu};
}

DerivedPass dropping(float p, std::uint32_t step) {
  DerivedPass pass;
  pass.drop_path = Tensor({1, 1, 1, 1}, MemoryTag::optimizer, Device::cpu);
  pass.step = Tensor({1, 1, 1, 1}, MemoryTag::optimizer, Device::cpu, DType::u32);
  upload_scalar(p, pass.drop_path);
  upload_scalar(step, pass.step);
  return pass;
}

std::vector<float> logits_of(const DerivedNetwork& network, const DeviceBatch& batch,
                             const DerivedPass& pass) {
  Tape tape(Device::cpu, false);
  return download<float>(network.forward(tape, Variable(batch.images), pass).main.value());
}

double loss_of(const DerivedNetwork& network, const DeviceBatch& batch, const DerivedPass& pass,
               Tape& tape, Variable& loss) {
  const DerivedNetwork::Logits logits = network.forward(tape, Variable(batch.images), pass);
  const LossResult main = cross_entropy(tape, "loss", logits.main, batch.labels);
  double value = main.read().loss;
  loss = main.loss;
  if (!logits.auxiliary.empty()) {
    const Tensor factor({1, 1, 1, 1}, MemoryTag::optimizer, Device::cpu);
    upload_scalar(0.4f, factor);
    const LossResult second = cross_entropy(tape, "loss", logits.auxiliary, batch.labels);
    value += 0.4 * second.read().loss;
    loss = weighted_sum(tape, "loss", loss, second.loss, factor);
  }
  return value;
}

double loss_of(const DerivedNetwork& network, const DeviceBatch& batch, const DerivedPass& pass) {
  Tape tape(Device::cpu, false);
  Variable loss;
  return loss_of(network, batch, pass, tape, loss);
}

void differentiate(const DerivedNetwork& network, const DeviceBatch& batch,
                   const DerivedPass& pass) {
  Tape tape;
  Variable loss;
  const double value = loss_of(network, batch, pass, tape, loss);
  CHECK(download<float>(loss.value()).at(0) == doctest::Approx(value).epsilon(1e-5));
  tape.backward(loss, network.leaves());
}

double norm_of(const float* values, std::int64_t count) {
  double squares = 0;
  for (std::int64_t i = 0; i < count; ++i) squares += static_cast<double>(values[i]) * values[i];
  return std::sqrt(squares);
}

/// The loss's change along the gradient of each weight tensor is the gradient's norm. The losses
/// are float32: along the gradient itself a difference has the most digits. ReLUs and maxima bend
/// the loss, so that shorter steps are tried until rounding would hide an error; `bent` tensors may
/// still miss. Returns how many were large enough to tell.
int check_gradients(DerivedNetwork& network, const DeviceBatch& batch, const DerivedPass& pass,
                    int bent = 0) {
  differentiate(network, batch, pass);
  const ParameterStore& store = network.parameters();
  const std::vector<float> gradient = download<float>(store.gradients());
  int told = 0;
  std::string missed;
  for (const NamedSlice& p : store.parameters()) {
    const std::int64_t count = p.shape.elements();
    const float* g = gradient.data() + p.offset;
    float* w = store.weights().data() + p.offset;
    const double norm = norm_of(g, count), size = std::max(norm_of(w, count), 0.1);
    const std::vector<float> start(w, w + count);
    double least = 1, rounding = 0;
    bool tried = false;
    for (double step = 4e-3 * size; least > 0.03 && rounding < 0.1; step /= 4) {
      rounding = 1e-7 / step / norm;
      if (rounding > 0.1) break;
      tried = true;
      double change = 0;
      for (const int sign : {1, -1}) {
        for (std::int64_t i = 0; i < count; ++i)
          w[i] = static_cast<float>(start[i] + sign * step * g[i] / norm);
        change += sign * loss_of(network, batch, pass);
      }
      least = std::min(least, std::abs(change / (2 * step) / norm - 1) - rounding);
    }
    std::copy(start.begin(), start.end(), w);
    told += tried;
    if (tried && !(least < 0.1) && --bent < 0)
      missed += " " + p.name + " by " + std::to_string(least);
  }
  CHECK(missed == "");
  return told;
}

std::set<std::string> names_of(const std::vector<NamedSlice>& slices) {
  std::set<std::string> names;
  for (const NamedSlice& s : slices) names.insert(s.name);
  CHECK(names.size() == slices.size());
  return names;
}

}  // namespace

TEST_CASE("derived network: published sizes") {
  const auto cost = [](const char* name, bool imagenet) {
    DerivedOptions options{.genotype = find_genotype(name)};
    if (imagenet) {
      options.channels = 48;
      options.layers = 14;
      options.classes = 1000;
      options.image_size = 224;
      options.imagenet = true;
    }
    options.auxiliary = true;
    return make_derived_network(options, 1)->cost();
  };
  CHECK(cost("DrNAS_cifar10", false).parameters == 4099294);
  CHECK(cost("PC_DARTS_cifar", false).parameters == 3634678);
  CHECK(cost("DARTS_V2", false).parameters == 3349342);
  CHECK(cost("DrNAS_imagenet", true).parameters == 5726368);
  CHECK(cost("DARTS_V2", true).multiply_adds == 529911552);
  const NetworkCost small = make_derived_network({.genotype = find_genotype("DrNAS_cifar10"),
                                                  .channels = 8,
                                                  .layers = 4,
                                                  .auxiliary = true},
                                                 1)
                                ->cost();
  CHECK(small.parameters == 60378);
  CHECK(small.parameters_with_auxiliary == 479460);
}

TEST_CASE("derived network: published names") {
  DerivedOptions options = small_options();
  options.image_size = 32;
  options.auxiliary = true;
  const auto network = make_derived_network(options, 1);
  const std::set<std::string> names = names_of(network->parameters().parameters());
  for (const char* name :
       {"stem.0.weight", "cells.0.preprocess0.op.1.weight", "cells.0._ops.1.1.weight",
        "cells.0._ops.1.2.weight", "cells.0._ops.1.3.bias", "cells.0._ops.0.op.7.weight",
        "cells.1._ops.0.conv_1.weight", "cells.1._ops.0.bn.bias",
        "cells.2.preprocess0.conv_2.weight", "auxiliary_head.features.2.weight",
        "auxiliary_head.features.6.bias", "auxiliary_head.classifier.weight", "classifier.bias"})
    CHECK_MESSAGE(names.count(name) == 1, name);
  const std::set<std::string> statistics = names_of(network->parameters().statistics());
  for (const char* name : {"stem.1.running_var", "cells.0._ops.3.op.1.running_mean",
                           "auxiliary_head.features.3.running_mean"})
    CHECK_MESSAGE(statistics.count(name) == 1, name);
  const auto nb201 = make_derived_network(
      {.genotype = genotype_of(Nb201Cell{{3, 2, 3, 1, 4, 2}}), .channels = 4, .layers = 1}, 1);
  const std::set<std::string> cells = names_of(nb201->parameters().parameters());
  for (const char* name :
       {"cells.0.layers.0.op.1.weight", "cells.4.layers.5.op.2.bias", "cells.1.conv_b.op.2.weight",
        "cells.3.downsample.1.weight", "lastact.0.weight"})
    CHECK_MESSAGE(cells.count(name) == 1, name);
  CHECK(cells.count("cells.0.layers.3.op.1.weight") == 0);
}

TEST_CASE("derived network: gradients of every operation against differences of the loss") {
  const DeviceBatch batch = make_batch(6, 16, 5);
  const auto network = make_derived_network(small_options(), 11);
  CHECK(check_gradients(*network, batch, {}) > 100);
  CHECK(check_gradients(*network, batch, dropping(0.3f, 5)) > 100);
}

TEST_CASE("derived network: gradients with the auxiliary head and the ImageNet stem") {
  DerivedOptions options{
      .genotype = find_genotype("DARTS_V1"), .channels = 4, .layers = 3, .classes = 4};
  options.auxiliary = true;
  const auto cifar = make_derived_network(options, 12);
  CHECK(check_gradients(*cifar, make_batch(8, 32, 4), {}, 1) > 30);
  options.imagenet = true;
  options.image_size = 224;
  const auto imagenet = make_derived_network(options, 12);
  CHECK(check_gradients(*imagenet, make_batch(4, 224, 4), {}, 1) > 30);
}

TEST_CASE("derived network: drop path drops all but identities, and in training only") {
  const DeviceBatch batch = make_batch(4, 16, 5);
  DerivedOptions options = small_options();
  auto network = make_derived_network(options, 3);
  const auto whole = logits_of(*network, batch, {});
  const auto kept = logits_of(*network, batch, dropping(0.0f, 1));
  const auto some = logits_of(*network, batch, dropping(0.4f, 1));
  CHECK(kept == whole);
  CHECK(some != whole);
  CHECK(some == logits_of(*network, batch, dropping(0.4f, 1)));
  CHECK(some != logits_of(*network, batch, dropping(0.4f, 2)));
  CHECK(some != logits_of(*make_derived_network(options, 4), batch, dropping(0.4f, 1)));
  DerivedPass evaluation = dropping(0.9f, 1);
  evaluation.training = false;
  CHECK(logits_of(*network, batch, evaluation) == logits_of(*network, batch, {.training = false}));
  // Where everything drops, reductions leave nothing and the classifier sees zeros.
  const auto none = logits_of(*network, batch, dropping(1.0f, 1));
  const ParameterStore& store = network->parameters();
  const auto bias = std::find_if(store.parameters().begin(), store.parameters().end(),
                                 [](const NamedSlice& p) { return p.name == "classifier.bias"; });
  for (std::size_t i = 0; i < none.size(); ++i)
    CHECK(none[i] == store.weights().data()[bias->offset + static_cast<std::int64_t>(i % 5)]);
}

TEST_CASE("derived network: steps repeat bit by bit and give their memory back") {
  const DeviceBatch batch = make_batch(4, 16, 5);
  const auto gradients_after = [&] {
    const auto network = make_derived_network(small_options(), 8);
    differentiate(*network, batch, dropping(0.2f, 7));
    const auto first = Allocator::of(Device::cpu).counters();
    differentiate(*network, batch, dropping(0.2f, 7));
    const auto second = Allocator::of(Device::cpu).counters();
    CHECK(second.live == first.live);
    CHECK(second.native_allocations == first.native_allocations);
    return download<float>(network->parameters().gradients());
  };
  CHECK(gradients_after() == gradients_after());
}

TEST_CASE("derived network: a NAS-Bench-201 cell is the supernet with one operation an edge") {
  const DeviceBatch batch = make_batch(4, 16, 5);
  for (const Nb201Cell& cell : {Nb201Cell{{3, 2, 3, 1, 4, 2}}, Nb201Cell{{1, 0, 4, 3, 1, 0}},
                                Nb201Cell{{0, 0, 3, 1, 0, 2}}}) {
    CAPTURE(to_string(cell));
    const auto network = make_derived_network(
        {.genotype = genotype_of(cell), .channels = 8, .layers = 2, .classes = 5, .image_size = 16},
        6);
    const auto supernet =
        make_supernet({.channels = 8, .cells = 2, .classes = 5, .space = &nb201_space()}, 1);
    const ParameterStore &from = network->parameters(), &to = supernet->parameters();
    std::map<std::string, std::int64_t> place;  // of the supernet's weights
    for (const NamedSlice& p : to.parameters()) place[p.name] = p.offset;
    const auto counterpart = [&](std::string name) {
      const auto at = name.find(".layers.");
      if (at == std::string::npos) return name;
      const int e = name[at + 8] - '0';
      const Nb201Edge edge = Nb201Cell::edge[static_cast<std::size_t>(e)];
      return name.substr(0, at) + ".edges." + std::to_string(edge.to) + "<-" +
             std::to_string(edge.from) + "." +
             std::to_string(cell.op[static_cast<std::size_t>(e)]) + name.substr(at + 9);
    };
    int shared = 0;
    for (const NamedSlice& p : from.parameters())
      if (const auto found = place.find(counterpart(p.name)); found != place.end()) {
        std::copy_n(from.weights().data() + p.offset, p.shape.elements(),
                    to.weights().data() + found->second);
        ++shared;
      }
    CHECK(shared >= 15);
    const Tensor one = Tensor::zeros({1, 1, 6, 5}, MemoryTag::optimizer, Device::cpu, DType::f64);
    for (int e = 0; e < 6; ++e)
      one.data<double>()[5 * e + cell.op[static_cast<std::size_t>(e)]] = 1;
    differentiate(*network, batch, {});
    Tape tape;
    const Variable logits = supernet->forward(tape, Variable(batch.images), Variable(one), true);
    const std::vector<float> expected = download<float>(logits.value());
    tape.backward(cross_entropy(tape, "loss", logits, batch.labels).loss, supernet->leaves());
    const std::vector<float> found = logits_of(*network, batch, {});
    for (std::size_t i = 0; i < found.size(); ++i)
      CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-4));
    const double whole = norm_of(to.gradients().data(), to.gradients().elements());
    for (const NamedSlice& p : from.parameters()) {
      const auto at = place.find(counterpart(p.name));
      if (at == place.end()) continue;  // gamma and beta inside cells
      CAPTURE(p.name);
      std::vector<float> difference(from.gradients().data() + p.offset,
                                    from.gradients().data() + p.offset + p.shape.elements());
      for (std::size_t i = 0; i < difference.size(); ++i)
        difference[i] -= to.gradients().data()[at->second + static_cast<std::int64_t>(i)];
      CHECK(norm_of(difference.data(), p.shape.elements()) < 1e-4 * whole);
    }
    if (cell.op[0] == 3) CHECK(check_gradients(*network, batch, {}) > 50);
  }
}

TEST_CASE("derived network: published sizes of NAS-Bench-201 cells") {
  const auto cost = [](const Nb201Cell& cell) {
    return make_derived_network({.genotype = genotype_of(cell), .channels = 16, .layers = 5}, 1)
        ->cost();
  };
  // The benchmark lists 1.289 and 1.073 million parameters, 184.73 and 153.27 million
  // multiply-adds.
  const NetworkCost best = cost({{3, 3, 3, 1, 3, 3}}), narrower = cost({{3, 3, 3, 1, 3, 2}}),
                    skips = cost({{1, 1, 1, 1, 1, 1}});
  CHECK(best.parameters == 1288506);
  CHECK(best.multiply_adds / 10000 == 18473);
  CHECK(narrower.parameters == 1073466);
  CHECK(narrower.multiply_adds / 10000 == 15327);
  CHECK(skips.parameters == 73306);
  CHECK(skips.multiply_adds / 10000 == 778);
}

TEST_CASE("derived network: what does not fit is named in one line") {
  const auto refused = [](const auto& change, std::initializer_list<std::string> parts) {
    DerivedOptions options = small_options();
    change(options);
    check_fails([&] { make_derived_network(options, 1); }, parts);
  };
  using Options = DerivedOptions;
  refused([](Options& o) { o.image_size = 18; }, {"18 pixels", "cell 2", "leave 9"});
  refused([](Options& o) { o.auxiliary = true; }, {"16 pixels leave 4", "auxiliary", "8 to 10"});
  refused([](Options& o) { o.layers = 0; }, {"0 cells"});
  refused(
      [](Options& o) {
        o.imagenet = true;
        o.channels = 5;
      },
      {"5 channels", "even"});
  refused(
      [](Options& o) {
        o.imagenet = true;
        o.image_size = 36;
      },
      {"36 pixels", "first cell"});
  refused(
      [](Options& o) {
        DartsGenotype cells = every_operation();
        cells.normal.genes[0].source = 7;
        o.genotype = genotype_of(cells);
      },
      {"normal", "source 7"});
  refused([](Options& o) { o.genotype = {}; }, {"no genotype"});
  refused(
      [](Options& o) {
        o.genotype = genotype_of(Nb201Cell{});
        o.auxiliary = true;
      },
      {"auxiliary"});
  refused(
      [](Options& o) {
        o.genotype = genotype_of(Nb201Cell{});
        o.image_size = 18;
      },
      {"18 pixels", "multiple of 4"});
  const auto network = make_derived_network(small_options(), 1);
  const DeviceBatch other = make_batch(1, 32, 5), batch = make_batch(2, 16, 5);
  check_fails([&] { logits_of(*network, other, {}); }, {"[1, 32, 32, 3]", "16 pixels"});
  DerivedPass pass = dropping(0.1f, 1);
  pass.step = {};
  check_fails([&] { logits_of(*network, batch, pass); }, {"drop path", "number of the draw"});
  check_fails([&] { differentiate(*network, batch, {.training = false}); }, {"evaluation mode"});
}
