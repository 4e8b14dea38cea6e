// SPDX-License-Identifier: MIT
// Reference files of whole search steps (bench/peers/method_steps.py).
#include "data/batch_source.h"
#include "nas/method/search_method.h"
#include "nas/space/nb201/nb201_space.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "nas/step/supernet_trainer.h"
#include "tests/parity/parity_compare.h"

namespace drnas::parity {
namespace {

/// The batches of one part of the file, one for each step that uses one.
class GivenBatches final : public BatchSource {
 public:
  explicit GivenBatches(std::vector<DeviceBatch> batches) : batches_(std::move(batches)) {}
  std::int64_t batches() const override { return static_cast<std::int64_t>(batches_.size()); }
  const DeviceBatch& next() override { return batches_.at(position_++); }
  const DeviceBatch& again() override { return batches_.at(position_ - 1); }
  void seek(std::int64_t position) override { position_ = static_cast<std::size_t>(position); }

 private:
  std::vector<DeviceBatch> batches_;
  std::size_t position_ = 0;
};

/// Moves alpha as the method does, and keeps the gradient that did.
class Watched final : public AlphaUpdate {
 public:
  explicit Watched(SearchMethod& method) : method_(method) {}
  void update(const Tensor& dtheta, const Tensor& squared_norm) override {
    method_.alpha_update().update(dtheta, squared_norm);
    gradient_ = download<double>(method_.law().alpha().gradient);
  }
  /// Of the step that ends now; methods that move alpha outside passes leave it with alpha.
  std::vector<double> take() {
    if (gradient_.empty()) return download<double>(method_.law().alpha().gradient);
    return std::exchange(gradient_, {});
  }

 private:
  SearchMethod& method_;
  std::vector<double> gradient_;
};

MethodOptions method_options(const ReferenceFile& file, Device device) {
  MethodOptions o{Nb201Supernet::edges, Nb201Supernet::ops,
                  static_cast<std::uint64_t>(file.number("seed")), device};
  o.adam.learning_rate = file.number("alpha_rate");
  o.adam.beta1 = file.number("beta1");
  o.adam.l2 = file.number("l2");
  o.weights_first = file.number("weights_first") != 0;
  o.epochs = static_cast<int>(file.number("epochs"));
  o.schedule_first = file.number("schedule_first");
  o.schedule_last = file.number("schedule_last");
  o.node_of_edge = node_of_edge(nb201_space());
  if (search_method(file.metadata("method")).switches) o.penalty = file.number("penalty");
  return o;
}

TrainerOptions trainer_options(const ReferenceFile& file) {
  TrainerOptions o;
  o.momentum = static_cast<float>(file.number("momentum"));
  o.weight_decay = static_cast<float>(file.number("weight_decay"));
  o.grad_clip = file.clip();
  o.clip_with_alpha = file.number("clip_with_alpha") != 0;
  o.nesterov = file.number("nesterov") != 0;
  o.capture = false;  // each step has a batch of its own
  return o;
}

class Steps : private Comparison {
 public:
  Steps(const std::filesystem::path& path, const Setting& setting)
      : Comparison(path, setting),
        device_(setting.device),
        info_(search_method(file().metadata("method"))),
        supernet_({.channels = file().channels(),
                   .cells = file().check_nb201(),
                   .classes = file().classes(),
                   .partial_channels = file().partial_channels(),
                   .edge_weights = info_.edge_weights},
                  0, device_),
        method_(info_.make(method_options(file(), device_))),
        watched_(*method_),
        trainer_(supernet_, method_->law(), &watched_, trainer_options(file())) {}

  Errors run() {
    const ParameterStore& store = supernet_.parameters();
    start(store, {});
    start_ = download<float>(store.weights());
    file().expect_only("move.", names_of(store.parameters()));
    const Tensor& alpha = method_->law().alpha().values;
    const std::vector<float> alpha0 = file().values("trace.alpha0", alpha.elements());
    alpha0_.assign(alpha0.begin(), alpha0.end());
    upload<double>(alpha0_, alpha);
    trainer_.set_learning_rate(file().number("learning_rate"));
    const auto epoch = static_cast<std::int64_t>(file().number("epoch"));
    method_->begin_epoch(epoch);
    GivenBatches training(batches("train_")), validation(batches("validation_"));
    for (int step = 0; step < file().steps(); ++step) {
      const MethodResult result = method_->step({trainer_, training, validation, true, step});
      compare_step("trace." + std::to_string(step) + ".", result);
    }
    method_->end_epoch({epoch, trainer_, validation, [](auto...) { return true; }});
    compare_end();
    compare_weights(store);
    compare_slices("after", "after.", store.statistics(), store.statistics_buffer());
    return errors();
  }

 private:
  std::vector<DeviceBatch> batches(const std::string& part) const {
    std::vector<DeviceBatch> all;
    for (int step = 0; step < file().steps(); ++step) {
      const std::string prefix = "trace." + std::to_string(step) + "." + part;
      if (file().contains(prefix + "input")) all.push_back(batch(prefix));
    }
    return all;
  }

  void compare_step(const std::string& prefix, const MethodResult& result) {
    const auto there = [&](const char* name) { return file().contains(prefix + name); };
    const std::vector<double> gradient = watched_.take();
    if (there("grad_alpha"))
      compare("grad_alpha", std::span<const double>(gradient), prefix + "grad_alpha");
    std::vector<double> moved = download<double>(method_->law().alpha().values);
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] -= alpha0_[i];
    compare("alpha_move", std::span<const double>(moved), prefix + "alpha_move");
    if (there("alpha_loss"))
      compare("alpha_loss", result.alpha.value().loss, prefix + "alpha_loss");
    compare("weight_loss", result.weights.loss, prefix + "weight_loss");
    compare("weight_norm", result.weights.gradient_norm, prefix + "weight_norm");
  }

  /// What the end of an epoch found.
  void compare_end() {
    if (!file().contains("trace.end.gamma")) return;
    std::vector<double> gamma;
    for (const std::vector<double>& row : method_->law().concentrations())
      gamma.insert(gamma.end(), row.begin(), row.end());
    compare("gamma", std::span<const double>(gamma), "trace.end.gamma");
  }

  /// What the steps did to the weights: a wrong step would hide behind the weights themselves.
  void compare_weights(const ParameterStore& store) {
    std::vector<float> moved = download<float>(store.weights());
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] -= start_[i];
    double squares = 0;
    for (const NamedSlice& p : store.parameters())
      squares += std::pow(norm(file().values("move." + p.name, p.shape.elements())), 2);
    const Tensor moves(store.weights().shape(), MemoryTag::weights, device_);
    upload<float>(moved, moves);
    compare_slices("move", "move.", store.parameters(), moves, 0.1 * std::sqrt(squares));
  }

  Device device_;
  const MethodInfo& info_;
  Nb201Supernet supernet_;
  std::unique_ptr<SearchMethod> method_;
  Watched watched_;
  SupernetTrainer trainer_;
  std::vector<float> start_;    // weights
  std::vector<double> alpha0_;  // alpha
};

}  // namespace

Errors replay_steps(const std::filesystem::path& file, const Setting& setting) {
  return Steps(file, setting).run();
}

}  // namespace drnas::parity
