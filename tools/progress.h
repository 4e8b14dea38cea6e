// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "nas/search_events.h"

namespace drnas::tools {

/// `[=====>    ]` and figures of a step, at most `columns` characters.
std::string progress_bar(const StepProgress& progress, int columns);
/// The same as one plain line.
std::string progress_line(const StepProgress& progress);
/// What an epoch gave, several lines.
std::string epoch_text(const EpochRecord& record);

/// Shows a search: results on standard output; a progress bar on standard error where that is a
/// terminal, else plain lines on standard output, at most one every `log_every` seconds. Quiet:
/// nothing.
class TerminalObserver : public SearchObserver {
 public:
  TerminalObserver(bool quiet, double log_every);
  ~TerminalObserver() override { clear_bar(); }

  void on_message(const std::string& line) override;
  void on_step(const StepProgress& progress) override;
  void on_epoch(const EpochRecord& record) override;
  /// Removes the bar, so that something else can be printed.
  void clear_bar();

 private:
  using Clock = std::chrono::steady_clock;

  bool quiet_, bar_, bar_shown_ = false;
  double log_every_;
  Clock::time_point last_;
};

}  // namespace drnas::tools
