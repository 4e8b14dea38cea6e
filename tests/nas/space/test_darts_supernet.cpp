// SPDX-License-Identifier: MIT
// The DARTS-space supernet: its size, what it holds in memory, rebuilding and pruning. Its values
// are compared with reference files (parity) where DRNAS_GOLDEN_DIR is set.
#include "nas/space/darts/darts_space.h"
#include "nas/space/darts/darts_supernet.h"

#include <map>

#include "nas/search/memory_plan.h"
#include "tests/nas/space/pruned.h"
#include "tests/support/option_files.h"
#include "tests/support/reference.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;

namespace {

constexpr int rows = DartsSupernet::edges, columns = DartsSupernet::ops, images = 3;

SupernetOptions options_of(int parts, bool imagenet = false) {
  SupernetOptions o;
  o.space = &darts_space();
  o.imagenet_stem = imagenet;
  o.channels = 8;
  o.cells = 3;
  o.partial_channels = parts;
  o.raw_outputs = RawOutputs::store;
  return o;
}

std::int64_t live_activations() {
  return Allocator::of(Device::cpu)
      .counters()
      .live_by_tag[static_cast<std::size_t>(MemoryTag::activations)];
}

using Named = std::map<std::string, Doubles>;

struct Pass {
  Doubles logits, dtheta;
  double loss = 0;
  Named gradients, statistics;
  std::int64_t activation_bytes = 0;
};

Named by_name(const std::vector<NamedSlice>& slices, const Tensor& values) {
  Named out;
  for (const NamedSlice& s : slices) {
    const float* first = values.data() + s.offset;
    out[s.name] = Doubles(first, first + s.shape.elements());
    for (const std::string& alias : s.aliases) out[alias] = out[s.name];
  }
  return out;
}

Doubles mixing_weights(std::mt19937_64& rng, const Kept& kept) {
  Doubles theta(static_cast<std::size_t>(rows) * columns);
  for (std::size_t i = 0; i < theta.size(); ++i)
    theta[i] = kept.empty() || kept[i] ? 0.05 + static_cast<double>(rng() % 1000) / 2000 : 0.0;
  return theta;
}

Pass run(const Supernet& net, const Doubles& mixing, int side = 16) {
  auto rng = generator(91);
  const Doubles pixels = normals(rng, images * side * side * 3);
  Tensor x({images, side, side, 3}, MemoryTag::data);
  std::copy(pixels.begin(), pixels.end(), x.data());
  Tensor labels({1, 1, 1, images}, MemoryTag::data, Device::cpu, DType::i32);
  for (int i = 0; i < images; ++i) labels.data<std::int32_t>()[i] = i;
  const Shape shape{1, 1, rows, static_cast<std::int64_t>(mixing.size()) / rows};
  Tensor values(shape, MemoryTag::optimizer, Device::cpu, DType::f64);
  std::copy(mixing.begin(), mixing.end(), values.data<double>());
  const Variable theta(values, Tensor::zeros(shape, MemoryTag::optimizer, Device::cpu, DType::f64),
                       "theta");
  Pass out;
  const std::int64_t before = live_activations();
  Tape tape;
  const Variable logits = net.forward(tape, Variable(x), theta, true);
  out.activation_bytes = live_activations() - before;
  const LossResult loss = cross_entropy(tape, "loss", logits, labels);
  out.logits.assign(logits.value().data(), logits.value().data() + logits.value().elements());
  out.loss = loss.read().loss;
  std::vector<Variable> wanted = net.leaves();
  wanted.push_back(theta);
  tape.backward(loss.loss, wanted);
  const double* dtheta = theta.gradient().data<double>();
  out.dtheta.assign(dtheta, dtheta + shape.elements());
  const ParameterStore& store = net.parameters();
  out.gradients = by_name(store.parameters(), store.gradients());
  out.statistics = by_name(store.statistics(), store.statistics_buffer());
  return out;
}

void copy_weights(const ParameterStore& from, const ParameterStore& to) {
  const Named weights = by_name(from.parameters(), from.weights());
  for (const NamedSlice& s : to.parameters())
    std::copy(weights.at(s.name).begin(), weights.at(s.name).end(), to.weights().data() + s.offset);
}

}  // namespace

TEST_CASE("DARTS supernet: rebuilding raw outputs changes memory, not a bit of the results") {
  for (const int parts : {1, 2, 4}) {
    auto rng = generator(92);
    const Doubles theta = mixing_weights(rng, {});
    const auto kept_all = make_supernet(options_of(parts), 4);
    const Pass stored = run(*kept_all, theta);
    std::int64_t more = stored.activation_bytes;
    for (int mode = 0; mode < 3; ++mode) {
      SupernetOptions o = options_of(parts);
      if (mode == 0) o.raw_outputs = RawOutputs::rebuild_1x1;
      if (mode == 1) o.rebuild_cells = 2;
      if (mode == 2) o.raw_outputs = RawOutputs::rebuild;
      const Pass rebuilt = run(*make_supernet(o, 4), theta);
      CHECK(rebuilt.logits == stored.logits);
      CHECK(rebuilt.dtheta == stored.dtheta);
      CHECK(rebuilt.gradients == stored.gradients);
      CHECK(rebuilt.statistics == stored.statistics);
      CHECK(rebuilt.activation_bytes < more);
      more = rebuilt.activation_bytes;
    }
  }
}

TEST_CASE("DARTS supernet: pruned operations are as if their weights in the mixture were zero") {
  auto rng = generator(93);
  for (const bool imagenet : {false, true})
    for (const int parts : {1, 4}) {
      const Kept kept = random_kept(rng, rows, columns);
      const Doubles theta = mixing_weights(rng, kept);
      SupernetOptions o = options_of(parts, imagenet);
      const auto full = make_supernet(o, 4);
      o.kept = kept;
      const auto pruned = make_supernet(o, 5);
      copy_weights(full->parameters(), pruned->parameters());
      const int side = imagenet ? 64 : 16;
      const Pass a = run(*full, theta, side), b = run(*pruned, theta, side);
      CHECK(pruned->parameters().count() < full->parameters().count());
      CHECK(b.activation_bytes < a.activation_bytes);
      // What is absent adds zeros elsewhere; only the sums of a state's gradient are cut otherwise.
      CHECK(b.logits == a.logits);
      CHECK(b.loss == a.loss);
      Doubles expected = a.dtheta;
      for (std::size_t i = 0; i < kept.size(); ++i)
        if (!kept[i]) expected[i] = 0;
      CHECK(b.dtheta == expected);
      for (const auto& part : b.gradients) {
        CAPTURE(part.first);
        CHECK(max_error(part.second, a.gradients.at(part.first), 1e-2) < 8 * float_epsilon);
      }
      for (const auto& part : b.statistics) {
        CAPTURE(part.first);
        CHECK(part.second == a.statistics.at(part.first));
      }
    }
}

TEST_CASE("DARTS supernet: `none` as a candidate takes its share of a mixture and gives nothing") {
  auto rng = generator(95);
  const Doubles theta = mixing_weights(rng, {});
  SupernetOptions o = options_of(4);
  const auto without = make_supernet(o, 4);
  o.none = true;
  const auto with = make_supernet(o, 5);
  CHECK(with->parameters().count() == without->parameters().count());
  // The published names count the operations, the order of the parameters is the same.
  const Tensor& from = without->parameters().weights();
  std::copy(from.data(), from.data() + from.elements(), with->parameters().weights().data());
  Doubles wider;
  for (int row = 0; row < rows; ++row) {
    wider.push_back(0.3);
    wider.insert(wider.end(), theta.begin() + row * columns, theta.begin() + (row + 1) * columns);
  }
  const Pass a = run(*without, theta), b = run(*with, wider);
  CHECK(b.logits == a.logits);
  for (int row = 0; row < rows; ++row) {
    CHECK(b.dtheta[row * (columns + 1)] == 0);
    for (int op = 0; op < columns; ++op)
      CHECK(b.dtheta[row * (columns + 1) + 1 + op] == a.dtheta[row * columns + op]);
  }
  CHECK(b.gradients.contains("cells.0._ops.0._ops.4.op.1.weight"));
  CHECK(!b.gradients.contains("cells.0._ops.0._ops.3.op.1.weight"));
}

TEST_CASE("DARTS supernet: the memory plan is what a run of it holds, to the byte") {
  Allocator& pool = Allocator::of(Device::cpu);
  auto rng = generator(94);
  for (const int mode : {0, 1, 2, 3}) {
    MemoryQuestion q;
    q.supernet = options_of(mode == 3 ? 2 : 4);
    if (mode == 1) q.supernet.raw_outputs = RawOutputs::rebuild;
    if (mode == 2) q.supernet.rebuild_cells = 1;
    if (mode == 3) q.supernet.kept = random_kept(rng, rows, columns);
    q.batch_sizes = {4};
    q.image_size = 16;
    const bool checks = pool.set_checks(false);
    const MemoryCounters planned = plan_memory(q);
    const std::int64_t before = pool.counters().live;
    pool.reset_peak();
    {
      const auto net = make_supernet(q.supernet, 0);
      const auto method = make_method("drnas", {rows, columns, 0, Device::cpu});
      if (!q.supernet.kept.empty()) method->prune(q.supernet.kept);
      Trainer trainer(*net, *method, q.trainer);
      const Doubles pixels = normals(rng, 4 * 16 * 16 * 3);
      const DeviceBatch batch(std::vector<float>(pixels.begin(), pixels.end()),
                              std::vector<std::int32_t>(4, 1), 16, Device::cpu);
      trainer.architecture_step(batch);
      trainer.weight_step(batch, 0.025);
      trainer.evaluate(batch);
    }
    CHECK(pool.counters().peak - before == planned.peak);
    pool.set_checks(checks);
  }
}

TEST_CASE("DARTS supernet: published sizes, and options that cannot be") {
  // As PyTorch counts them: C 8, three cells.
  CHECK(make_supernet(options_of(1), 1)->parameters().count() == 209442);
  CHECK(make_supernet(options_of(2), 1)->parameters().count() == 77106);
  CHECK(make_supernet(options_of(2, true), 1)->parameters().count() == 84630);
  SupernetOptions o = options_of(3);
  check_fails([&] { make_supernet(o, 1); }, {"3", "8 channels"});
  o = options_of(1);
  o.cells = 2;
  check_fails([&] { make_supernet(o, 1); }, {"2 cells", "3"});
  o = options_of(1);
  o.kept.assign(195, 1);
  check_fails([&] { make_supernet(o, 1); }, {"195", "196"});
  o.kept.assign(196, 1);
  std::fill(o.kept.begin() + 7, o.kept.begin() + 14, 0);
  check_fails([&] { make_supernet(o, 1); }, {"edge normal 2<-1", "no operation"});
}
