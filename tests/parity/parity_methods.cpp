// SPDX-License-Identifier: MIT
// Reference files of single pieces of methods: metadata `case` names which.
#include "data/batch_source.h"
#include "kernels/alpha/mixing.h"
#include "nas/method/search_method.h"
#include "nas/space/darts/darts_supernet.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "nas/step/supernet_trainer.h"
#include "nas/step/weight_shift.h"
#include "tests/parity/parity_compare.h"

namespace drnas::parity {
namespace {

constexpr int table_size = Nb201Supernet::edges * Nb201Supernet::ops;

Tensor table_of(const std::vector<float>& values, int edges, Device device) {
  const Tensor table({1, 1, edges, static_cast<std::int64_t>(values.size()) / edges},
                     MemoryTag::optimizer, device, DType::f64);
  upload<double>(std::vector<double>(values.begin(), values.end()), table);
  return table;
}

SupernetOptions nb201_options(const ReferenceFile& file) {
  return {.channels = file.channels(),
          .cells = file.check_nb201(),
          .classes = file.classes(),
          .partial_channels = file.partial_channels()};
}

/// One pass of a network at given mixing weights, and all of its gradients.
class OnePass : public Comparison {
 public:
  OnePass(const std::filesystem::path& path, const Setting& setting)
      : Comparison(path, setting), device(setting.device) {}

  /// dL/dtheta.
  std::vector<double> run(const Supernet& supernet, const Tensor& theta, SupernetPass pass) {
    const Tensor gradient = Tensor::zeros(theta.shape(), MemoryTag::optimizer, device, DType::f64);
    std::vector<std::uint8_t> active;
    for (const double weight : download<double>(theta)) active.push_back(weight != 0 ? 1 : 0);
    if (pass.run != OperationsRun::all && device == Device::cpu) pass.active = &active;
    compare_pass(supernet, Variable(theta, gradient, "theta"), pass);
    return download<double>(gradient);
  }

  Device device;
};

Errors replay_gates(const std::filesystem::path& path, const Setting& setting) {
  OnePass c(path, setting);
  const Nb201Supernet supernet(nb201_options(c.file()), 0, c.device);
  c.start(supernet.parameters(), {"gates"});
  const Tensor gates =
      table_of(c.file().values("gates", table_size), Nb201Supernet::edges, c.device);
  const auto found = c.run(supernet, gates, {true, OperationsRun::gates, nullptr});
  c.compare("grad.gates", std::span<const double>(found), "grad.gates");
  c.compare_slices("after", "after.", supernet.parameters().statistics(),
                   supernet.parameters().statistics_buffer());
  return c.errors();
}

Errors replay_eval_gradient(const std::filesystem::path& path, const Setting& setting) {
  OnePass c(path, setting);
  const Nb201Supernet supernet(nb201_options(c.file()), 0, c.device);
  const ParameterStore& store = supernet.parameters();
  c.start(store, {"theta"});
  std::vector<float> statistics = download<float>(store.statistics_buffer());
  for (const NamedSlice& s : store.statistics()) {
    const auto values = c.file().values("statistics." + s.name, s.shape.elements());
    std::copy(values.begin(), values.end(), statistics.begin() + s.offset);
  }
  upload<float>(statistics, store.statistics_buffer());
  const Tensor theta =
      table_of(c.file().values("theta", table_size), Nb201Supernet::edges, c.device);
  const auto found = c.run(supernet, theta, false);
  c.compare("grad.theta", std::span<const double>(found), "grad.theta");
  return c.errors();
}

/// PC-DARTS: theta of operations and of edges, both given.
Errors replay_edges(const std::filesystem::path& path, const Setting& setting) {
  OnePass c(path, setting);
  constexpr int edges = DartsSupernet::edges, half = edges / 2, ops = DartsSupernet::ops + 1;
  const DartsSupernet supernet({.channels = c.file().channels(),
                                .cells = c.file().check_darts(),
                                .classes = c.file().classes(),
                                .partial_channels = c.file().partial_channels(),
                                .none = true,
                                .edge_weights = true},
                               0, c.device);
  c.start(supernet.parameters(), {"theta.normal", "theta.reduce", "edge.normal", "edge.reduce"});
  std::vector<float> shares;
  for (const std::string kind : {"normal", "reduce"}) {
    const auto theta = c.file().values("theta." + kind, half * ops),
               edge = c.file().values("edge." + kind, half);
    for (int e = 0; e < half; ++e) {
      shares.insert(shares.end(), theta.begin() + e * ops, theta.begin() + (e + 1) * ops);
      shares.push_back(edge[static_cast<std::size_t>(e)]);
    }
  }
  const Tensor p = table_of(shares, edges, c.device),
               theta = Tensor::zeros(p.shape(), MemoryTag::optimizer, c.device, DType::f64),
               dp = Tensor::zeros(p.shape(), MemoryTag::optimizer, c.device, DType::f64);
  const auto on_device = [&](const auto& call) { dispatch(c.device, call); };
  on_device([&]<Device D>() {
    kernels::weigh_edges<D>(edges, ops, p.data<double>(), theta.data<double>(), compute_stream(D));
  });
  const std::vector<double> found = c.run(supernet, theta, true);
  upload<double>(found, theta);
  on_device([&]<Device D>() {
    kernels::weigh_edges_backward<D>(edges, ops, p.data<double>(), theta.data<double>(),
                                     dp.data<double>(), compute_stream(D));
  });
  std::vector<double> of_theta, of_edges;
  int column = 0;
  for (const double value : download<double>(dp)) {
    (column == ops ? of_edges : of_theta).push_back(value);
    column = column == ops ? 0 : column + 1;
  }
  const std::span<const double> all(of_theta), weights(of_edges);
  c.compare("grad.theta", all.first(half * ops), "grad.theta.normal");
  c.compare("grad.theta", all.last(half * ops), "grad.theta.reduce");
  c.compare("grad.edge", weights.first(half), "grad.edge.normal");
  c.compare("grad.edge", weights.last(half), "grad.edge.reduce");
  return c.errors();
}

/// Always the same batch.
class OneBatch final : public BatchSource {
 public:
  explicit OneBatch(DeviceBatch batch) : batch_(std::move(batch)) {}
  std::int64_t batches() const override { return 1; }
  const DeviceBatch& next() override { return batch_; }
  const DeviceBatch& again() override { return batch_; }
  void seek(std::int64_t) override {}

 private:
  DeviceBatch batch_;
};

std::vector<float> flat(const ReferenceFile& file, const std::string& prefix,
                        const ParameterStore& store) {
  std::vector<float> values(static_cast<std::size_t>(store.weights().elements()));
  for (const NamedSlice& s : store.parameters()) {
    const auto slice = file.values(prefix + s.name, s.shape.elements());
    std::copy(slice.begin(), slice.end(), values.begin() + s.offset);
  }
  return values;
}

/// Second-order DARTS: the step ahead, then the method's whole step.
Errors replay_second_order(const std::filesystem::path& path, const Setting& setting) {
  Comparison c(path, setting);
  Nb201Supernet supernet(nb201_options(c.file()), 0, setting.device);
  const ParameterStore& store = supernet.parameters();
  c.start(store, {"first", "alpha"});
  upload<float>(flat(c.file(), "momentum.", store), store.velocity());
  MethodOptions options{Nb201Supernet::edges, Nb201Supernet::ops, 0, setting.device};
  const auto method = search_method("darts-2nd").make(options);
  const Alpha& alpha = method->law().alpha();
  const std::vector<float> start = c.file().values("alpha", table_size);
  upload<double>(std::vector<double>(start.begin(), start.end()), alpha.values);
  TrainerOptions trained;
  trained.momentum = static_cast<float>(c.file().number("momentum"));
  trained.weight_decay = static_cast<float>(c.file().number("weight_decay"));
  trained.clip_with_alpha = false;
  SupernetTrainer trainer(supernet, method->law(), &method->alpha_update(), trained);
  trainer.set_learning_rate(c.file().number("eta"));
  OneBatch training(c.batch("")), validation(c.batch("val."));

  const PassSetting gradient{.name = "gradient", .weight_gradients = true};
  c.compare("loss", trainer.run(gradient, training.next()).loss, "train_loss");
  {
    WeightShift ahead(store);
    ahead.look_ahead(trainer.learning_rate(), trainer.weight_rule());
    c.compare_slices("unrolled", "unrolled.", store.parameters(), store.weights());
    const PassSetting both{.name = "both",
                           .norm = PassNorm::batch_only,
                           .weight_gradients = true,
                           .theta_gradient = true};
    c.compare("loss", trainer.run(both, validation.next()).loss, "val_loss");
    c.compare("vector_norm", gradient_norm(store), "vector_norm");
    method->law().backward(trainer.theta_gradient());
    c.compare_tensor<double>("grad_first", alpha.gradient, "grad_first");
  }
  c.compare_slices("put back", "init.", store.parameters(), store.weights());
  method->step({trainer, training, validation, true, 0});
  c.compare_tensor<double>("grad_alpha", alpha.gradient, "grad_alpha");
  return c.errors();
}

}  // namespace

Errors replay_method(const std::filesystem::path& path, const std::string& piece,
                     const Setting& setting) {
  if (piece == "gdas") return replay_gates(path, setting);
  if (piece == "eval_gradient") return replay_eval_gradient(path, setting);
  if (piece == "edges") return replay_edges(path, setting);
  if (piece == "second_order") return replay_second_order(path, setting);
  if (piece == "step") return replay_steps(path, setting);
  throw Error(path.string() + ": metadata case = " + piece +
              ", expected gdas, eval_gradient, edges, second_order or step");
}

}  // namespace drnas::parity
