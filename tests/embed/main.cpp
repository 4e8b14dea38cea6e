// SPDX-License-Identifier: MIT
// Uses the installed engine as another project would: a small network of its own on the tape, then
// two supernet steps.
#include <cmath>
#include <cstdio>
#include <vector>

#include "engine/ops/ops.h"
#include "nas/method/search_method.h"
#include "nas/space/nb201/nb201_supernet.h"

namespace {

/// Loss of a linear classifier on two points and its gradient, straight on the tape.
bool train_by_hand() {
  using namespace drnas;
  ParameterStore store;
  const auto weight = store.add("weight", {1, 1, 2, 3}, Initial::uniform(3));
  const auto bias = store.add("bias", {1, 1, 1, 2}, Initial::value(0));
  store.allocate(1);
  const Variable w = store.leaf(weight, {1, 1, 2, 3}, "weight"),
                 b = store.leaf(bias, {1, 1, 1, 2}, "bias");
  Tensor x({2, 1, 1, 3}, MemoryTag::data),
      labels({1, 1, 1, 2}, MemoryTag::data, Device::cpu, DType::i32);
  const float values[] = {1, 0, 2, -1, 3, 0};
  std::copy(values, values + 6, x.data());
  labels.data<std::int32_t>()[0] = 0;
  labels.data<std::int32_t>()[1] = 1;
  double first = 0, last = 0;
  for (int step = 0; step < 50; ++step) {
    Tape tape;
    const LossResult loss =
        cross_entropy(tape, "loss", linear(tape, "classifier", Variable(x), w, b), labels);
    tape.backward(loss.loss, std::vector{w, b});
    for (std::int64_t i = 0; i < store.weights().elements(); ++i)
      store.weights().data()[i] -= 0.5f * store.gradients().data()[i];
    (step ? last : first) = loss.read().loss;
  }
  std::printf("classifier: loss %.4f -> %.4f\n", first, last);
  return last < 0.5 * first;
}

bool search_two_steps() {
  using namespace drnas;
  Nb201Supernet supernet({.channels = 8, .cells = 1, .classes = 10, .partial_channels = 2}, 1);
  const auto method = search_method("drnas").make({Nb201Supernet::edges, Nb201Supernet::ops, 1});
  SupernetTrainer trainer(supernet, method->law(), &method->alpha_update(), {});
  trainer.set_learning_rate(0.025);
  std::vector<float> images(4 * 16 * 16 * 3);
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = std::sin(0.37f * static_cast<float>(i));
  const std::vector<std::int32_t> labels{0, 1, 2, 3};
  const DeviceBatch batch(images, labels, 16, Device::cpu);
  const StepResult a = trainer.run(passes::architecture, batch),
                   w = trainer.run(passes::weights, batch);
  std::printf("supernet: architecture loss %.4f, weight loss %.4f\n", a.loss, w.loss);
  return std::isfinite(a.loss) && std::isfinite(w.loss) && w.gradient_norm > 0;
}

}  // namespace

int main() { return train_by_hand() && search_two_steps() ? 0 : 1; }
