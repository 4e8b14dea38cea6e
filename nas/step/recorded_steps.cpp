// SPDX-License-Identifier: MIT
#include "nas/step/recorded_steps.h"

#include <cmath>
#include <span>

#include "engine/ops/ops.h"
#include "engine/stream.h"
#include "kernels/core/named_range.h"

namespace drnas {

RecordedSteps::Key RecordedSteps::key_of(const char* name, const DeviceBatch& batch) {
  return {name, batch.images.bytes_begin(), batch.labels.bytes_begin(), batch.labels.elements()};
}

StepResult RecordedSteps::run(const char* name, const DeviceBatch& batch,
                              const std::function<void(StepResult&)>& work) {
  StepResult result;
  Laps laps;
  CapturedStep& step =
      steps_.try_emplace(key_of(name, batch), record_.device(), capture_).first->second;
  {
    const NamedRange range(name);
    step.run([&] { work(result); });
  }
  const std::vector<double> record = download<double>(record_);
  const kernels::CrossEntropyResult loss =
      LossResult::decode(std::span(record).subspan(loss_word_, 2));
  result.loss = loss.loss;
  result.top1 = loss.top1;
  result.top5 = loss.top5;
  result.count = static_cast<int>(batch.labels.elements());
  result.gradient_norm = std::sqrt(record[norm_word_]);
  result.total_ms = laps.lap();
  if (step.nodes()) result.forward_ms = result.backward_ms = result.optimizer_ms = 0;
  return result;
}

std::size_t RecordedSteps::launches(const char* name, const DeviceBatch& batch) const {
  const auto found = steps_.find(key_of(name, batch));
  return found == steps_.end() ? 0 : found->second.nodes();
}

}  // namespace drnas
