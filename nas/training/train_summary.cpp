// SPDX-License-Identifier: MIT
// What an epoch of a training gives to TensorBoard.
#include "nas/training/train_events.h"

namespace drnas {

void summarize(const TrainEpoch& r, EventSummary& s) {
  s.scalar("loss/train", r.train_loss);
  s.scalar("loss/test", r.test_loss);
  s.scalar("top1/train", r.train_top1);
  s.scalar("top1/test", r.test_top1);
  s.scalar("top5/test", r.test_top5);
  s.scalar("schedule/epoch", r.epoch);
  s.scalar("schedule/learning_rate", r.learning_rate);
  s.scalar("schedule/drop_path", r.drop_path);
  s.scalar("speed/images_per_second", r.images_per_second);
  s.scalar("speed/step_ms", r.step_ms);
  s.peak(r.peak_bytes);
}

}  // namespace drnas
