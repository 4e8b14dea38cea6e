// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "nas/search/search_events.h"
#include "nas/training/train_events.h"

namespace drnas::tools {

/// `[=====>    ]` and figures of a step, at most `columns` characters.
std::string progress_bar(const StepProgress& progress, int columns);
/// The same as one plain line.
std::string progress_line(const StepProgress& progress);
/// What an epoch gave, several lines.
std::string epoch_text(const EpochRecord& record);
std::string epoch_text(const TrainEpoch& record);

/// Results on standard output; a progress bar on standard error where that is a terminal, else
/// plain lines on standard output, at most one every `log_every` seconds. Quiet: nothing.
class Terminal {
 public:
  Terminal(bool quiet, double log_every);
  ~Terminal() { clear_bar(); }

  void print(const std::string& text);
  void step(const StepProgress& progress);
  /// Removes the bar, so that something else can be printed.
  void clear_bar();

 private:
  using Clock = std::chrono::steady_clock;

  bool quiet_, bar_, bar_shown_ = false;
  double log_every_;
  Clock::time_point last_;
};

/// Shows a run.
template <class Observer>
class TerminalOf : public Observer {
 public:
  TerminalOf(bool quiet, double log_every) : terminal_(quiet, log_every) {}

  void on_message(const std::string& line) override { terminal_.print(line + "\n"); }
  void on_step(const StepProgress& progress) override { terminal_.step(progress); }
  void on_epoch(const typename Observer::Epoch& record) override {
    terminal_.print(epoch_text(record));
  }

 private:
  Terminal terminal_;
};
using TerminalObserver = TerminalOf<SearchObserver>;
using TerminalTrainObserver = TerminalOf<TrainObserver>;

}  // namespace drnas::tools
