// SPDX-License-Identifier: MIT
#include "engine/ops/derived_ops.h"
#include "nas/space/darts/darts_space.h"
#include "tests/parity/parity_compare.h"

namespace drnas::parity {

Errors replay_derived(const std::filesystem::path& path, const Setting& setting) {
  const Device device = setting.device;
  Comparison comparison(path, setting);
  const ReferenceFile& file = comparison.file();
  const DeviceBatch batch = comparison.batch("");
  const bool auxiliary = file.contains("init.auxiliary_head.classifier.weight");
  const auto network =
      make_derived_network({.genotype = {&darts_space(), file.metadata("genotype")},
                            .channels = file.channels(),
                            .layers = file.check_darts(),
                            .classes = file.classes(),
                            .image_size = static_cast<int>(batch.images.shape().h),
                            .imagenet = file.net() == "derived_imagenet",
                            .auxiliary = auxiliary},
                           0, device);
  const ParameterStore& store = network->parameters();
  comparison.start(store, {});

  Tape tape(device);
  const DerivedNetwork::Logits logits = network->forward(tape, Variable(batch.images), {});
  comparison.compare_tensor<float>("logits", logits.main.value(), "logits");
  Variable loss = cross_entropy(tape, "loss", logits.main, batch.labels).loss;
  if (auxiliary) {
    comparison.compare_tensor<float>("aux_logits", logits.auxiliary.value(), "aux_logits");
    const Tensor factor({1, 1, 1, 1}, MemoryTag::optimizer, device);
    upload_scalar(static_cast<float>(file.auxiliary_weight()), factor);
    const Variable second = cross_entropy(tape, "loss", logits.auxiliary, batch.labels).loss;
    loss = weighted_sum(tape, "loss", loss, second, factor);
  }
  comparison.compare_tensor<float>("loss", loss.value(), "loss");
  tape.backward(loss, network->leaves());
  comparison.compare_gradients(store);
  comparison.compare_slices("after", "after.", store.statistics(), store.statistics_buffer());
  Tape quiet(device, false);
  comparison.compare_tensor<float>(
      "eval_logits",
      network->forward(quiet, Variable(batch.images), {.training = false}).main.value(),
      "eval_logits");
  return comparison.errors();
}

Errors replay(const std::filesystem::path& file, const Setting& setting) {
  const std::string piece = ReferenceFile(file).piece();
  if (!piece.empty()) return replay_method(file, piece, setting);
  const std::string net = ReferenceFile(file).net();
  if (net.starts_with("derived")) return replay_derived(file, setting);
  if (net.starts_with("search")) return replay_darts_search(file, setting);
  return replay_supernet(file, setting);
}

double worst_of(const Errors& errors) {
  double worst = 0;
  for (const auto& [group, error] : errors) keep_worst(worst, error);
  return worst;
}

Closest replay_closest(const std::filesystem::path& file, Setting setting, double allowed) {
  constexpr unsigned starts = 8;
  Closest best{replay(file, setting), setting.nudge};
  while (!(worst_of(best.errors) <= allowed) && setting.nudge < starts) {
    ++setting.nudge;
    const Errors found = replay(file, setting);
    if (worst_of(found) < worst_of(best.errors)) best = {found, setting.nudge};
  }
  return best;
}

}  // namespace drnas::parity
