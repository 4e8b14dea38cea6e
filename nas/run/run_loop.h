// SPDX-License-Identifier: MIT
// What the loops of a search and of a training have in common.
#pragma once

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string>

#include "nas/run/run_events.h"
#include "nas/step/step_result.h"

namespace drnas {

/// Steps of one phase of an epoch, and how long they took.
struct PhaseTimes {
  const char* phase;
  std::int64_t step, steps;  ///< finished; in all
  std::int64_t timed;        ///< of the finished ones, those of this process
  double seconds;            ///< for the timed ones
  /// Of the last training batch.
  double loss = std::numeric_limits<double>::quiet_NaN();
};

/// What observers are told. epoch counts from 0; images: of one step; epoch_seconds: what an epoch
/// takes.
inline StepProgress step_progress(const PhaseTimes& t, std::int64_t epoch, int epochs, int images,
                                  double epoch_seconds) {
  const double step_seconds = t.seconds / static_cast<double>(t.timed);
  StepProgress p;
  p.epoch = static_cast<int>(epoch) + 1;
  p.epochs = epochs;
  p.step = t.step;
  p.steps = t.steps;
  p.phase = t.phase;
  p.loss = t.loss;
  p.steps_per_second = 1.0 / step_seconds;
  p.images_per_second = p.steps_per_second * images;
  p.seconds_left = step_seconds * static_cast<double>(t.steps - t.step) +
                   epoch_seconds * static_cast<double>(epochs - epoch - 1);
  return p;
}

/// The message of a step that failed; `kept`: the checkpoint is of the state before it.
inline std::string failed_step(std::int64_t epoch, std::int64_t step, const std::string& what,
                               bool kept, const std::filesystem::path& checkpoint) {
  return "epoch " + std::to_string(epoch + 1) + ", step " + std::to_string(step + 1) + ", " + what +
         (kept ? "; the state before this step is in " : "; an older state is in ") +
         checkpoint.string();
}

/// Calls `checkpoint`; false where it fails: a device that has failed may not give its state any
/// more, then the last checkpoint stays.
template <class Checkpoint>
bool checkpoint_after_failure(const Checkpoint& checkpoint) {
  try {
    checkpoint();
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Enters a peak into an epoch's record.
template <class Record>
void enter_memory(const MemoryPeak& peak, Record& record) {
  record.peak_bytes = peak.total;
  for (int tag = 0; tag < memory_tag_count; ++tag)
    record.peak_bytes_by_tag[to_string(static_cast<MemoryTag>(tag))] = peak.by_tag[tag];
}

/// "61.56 MiB, weights 365.25 KiB, activations 55.50 MiB": what is there at the peak.
inline std::string peak_text(const MemoryPeak& peak) {
  std::string text = format_bytes(peak.total);
  for (int tag = 0; tag < memory_tag_count; ++tag)
    if (peak.by_tag[tag] != 0)
      text += std::string(", ") + to_string(static_cast<MemoryTag>(tag)) + " " +
              format_bytes(peak.by_tag[tag]);
  return text;
}

}  // namespace drnas
