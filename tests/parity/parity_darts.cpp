// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_supernet.h"
#include "tests/parity/parity_compare.h"

namespace drnas::parity {

Errors replay_darts_search(const std::filesystem::path& path, const Setting& setting) {
  const Device device = setting.device;
  Comparison comparison(path, setting);
  const ReferenceFile& file = comparison.file();
  DartsSupernet supernet({.channels = file.channels(),
                          .cells = file.check_darts(),
                          .classes = file.classes(),
                          .partial_channels = file.partial_channels(),
                          .imagenet_stem = file.net() != "search"},
                         0, device);
  const ParameterStore& store = supernet.parameters();
  comparison.start(store, {"theta.normal", "theta.reduce"});

  constexpr int rows = DartsSupernet::cell_edges, half = rows * DartsSupernet::ops;
  const Shape shape{1, 1, DartsSupernet::edges, DartsSupernet::ops};
  std::vector<double> theta_values;
  for (const char* kind : {"theta.normal", "theta.reduce"})
    for (const float v : file.values(kind, half)) theta_values.push_back(v);
  const Tensor given(shape, MemoryTag::optimizer, device, DType::f64);
  upload<double>(theta_values, given);
  const Tensor gradient = Tensor::zeros(shape, MemoryTag::optimizer, device, DType::f64);
  const Variable theta(given, gradient, "theta");

  const DeviceBatch batch = comparison.batch("");
  comparison.compare_pass(supernet, theta, true);
  const std::vector<double> dtheta = download<double>(gradient);
  comparison.compare("grad.theta", std::span(dtheta).first(half), "grad.theta.normal");
  comparison.compare("grad.theta", std::span(dtheta).last(half), "grad.theta.reduce");
  comparison.compare_slices("after", "after.", store.statistics(), store.statistics_buffer());
  Tape quiet(device, false);
  comparison.compare_tensor<float>(
      "eval_logits", supernet.forward(quiet, Variable(batch.images), theta, false).value(),
      "eval_logits");
  return comparison.errors();
}

}  // namespace drnas::parity
