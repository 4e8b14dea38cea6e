// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <string_view>
#include <tuple>

#include "data/device_batch.h"
#include "engine/captured_step.h"
#include "nas/step/step_result.h"

namespace drnas {

/// Steps of several kinds on batches whose memory stays: each pair is a step of its own that is
/// recorded on CUDA and replayed. What a step reports comes from `record` (float64), which it
/// writes: loss and hits in two words, the squared gradient norm in another.
class RecordedSteps {
 public:
  RecordedSteps(Tensor record, int loss_word, int norm_word, bool capture)
      : record_(std::move(record)),
        loss_word_(loss_word),
        norm_word_(norm_word),
        capture_(capture) {}

  /// Runs `work`, which enters the times of its phases; waits for the step and reads its report.
  /// `name`, a literal, tells kinds apart and appears in profiles.
  StepResult run(const char* name, const DeviceBatch& batch,
                 const std::function<void(StepResult&)>& work);
  /// Launches, copies and fills of one recorded step; 0 where none is recorded.
  std::size_t launches(const char* name, const DeviceBatch& batch) const;

 private:
  using Key = std::tuple<std::string_view, const void*, const void*, std::int64_t>;
  static Key key_of(const char* name, const DeviceBatch& batch);

  Tensor record_;
  int loss_word_, norm_word_;
  bool capture_;
  std::map<Key, CapturedStep> steps_;
};

}  // namespace drnas
