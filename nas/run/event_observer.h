// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "kernels/core/error.h"
#include "nas/run/event_file.h"
#include "nas/run/observer.h"

namespace drnas {

/// Passes a run's events on to `next` and writes them to an event file (--tensorboard): each epoch,
/// as summarize(record, summary) of the record's own file gives it (tags are GROUP/NAME, as in
/// loss/train), and about fifty times within it the training loss of a batch, as loss/step. Steps
/// are weight steps since the start of the run, of whichever session. Where writing fails, `next`
/// is told once and no more is written: it never ends the run.
template <class Record>
class EventObserver : public RunObserver<Record> {
 public:
  EventObserver(RunObserver<Record>& next, std::filesystem::path folder)
      : next_(next), folder_(std::move(folder)) {}

  void on_start(const RunStart& start) override {
    start_ = start;
    next_.on_start(start);
  }
  void on_message(const std::string& line) override { next_.on_message(line); }
  void on_step(const StepProgress& p) override {
    next_.on_step(p);
    // The last step is the epoch's own: a session that goes on before its evaluation voids it.
    if (std::isnan(p.loss) || p.step == p.steps || p.step % std::max<std::int64_t>(1, p.steps / 50))
      return;
    EventSummary summary;
    summary.scalar("loss/step", p.loss);
    write((p.epoch - 1) * p.steps + p.step, summary);
  }
  void on_epoch(const Record& record) override {
    next_.on_epoch(record);
    EventSummary summary;
    summarize(record, summary);
    write(record.epoch * start_.steps, summary);
  }

 private:
  void write(std::int64_t step, const EventSummary& summary) {
    if (failed_) return;
    try {
      if (!file_) {
        file_.emplace(folder_);
        // The epoch that is still to be evaluated has not been written, or is written again.
        const std::int64_t done = start_.epoch * start_.steps + start_.step;
        file_->start(start_.step == start_.steps ? done : done + 1);
      }
      file_->write(step, summary);
    } catch (const Error& error) {
      failed_ = true;
      next_.on_message("warning: --tensorboard: " + std::string(error.what()) +
                       "; no more events are written");
    }
  }

  RunObserver<Record>& next_;
  std::filesystem::path folder_;
  RunStart start_;
  std::optional<EventFile> file_;
  bool failed_ = false;
};

}  // namespace drnas
