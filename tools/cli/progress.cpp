// SPDX-License-Identifier: MIT
#include "tools/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string_view>
#include <utility>

#include "tools/cli/text.h"

namespace drnas::tools {
namespace {

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool has_terminal() {
  const char* kind = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && kind != nullptr && std::string_view(kind) != "dumb";
}

std::string title(const StepProgress& p) {
  return "epoch " + std::to_string(p.epoch) + "/" + std::to_string(p.epochs) + " " + p.phase;
}

std::string figures(const StepProgress& p) {
  return std::to_string(p.step) + "/" + std::to_string(p.steps) + ", " +
         fixed(p.steps_per_second, 1) + " steps/s, " + fixed(p.images_per_second, 0) +
         " images/s, " + duration(p.seconds_left) + " left";
}

double share_done(const StepProgress& p) {
  if (p.steps <= 0) return 1;
  return std::clamp(static_cast<double>(p.step) / static_cast<double>(p.steps), 0.0, 1.0);
}

/// Of an epoch of a search or a training.
std::string memory_text(const auto& record) {
  std::vector<std::pair<std::int64_t, std::string>> tags;
  for (const auto& [tag, bytes] : record.peak_bytes_by_tag) tags.emplace_back(bytes, tag);
  std::sort(tags.rbegin(), tags.rend());
  std::string text = mebibytes(record.peak_bytes) + " at most";
  const char* separator = ": ";
  for (const auto& [bytes, tag] : tags) {
    if (bytes < (1 << 20) / 20) continue;  // less than 0.05 MiB
    text += separator + tag + " " + fixed(static_cast<double>(bytes) / (1 << 20), 1);
    separator = ", ";
  }
  if (record.pinned_bytes > 0)
    text += "; images pinned on the host: " + mebibytes(record.pinned_bytes);
  return text;
}

std::string trajectory_text(const TrajectoryRecord& t) {
  std::string text = "  sampled " + std::to_string(t.distinct) + " different cells in " +
                     std::to_string(t.samples) + " draws, which share " +
                     fixed(100 * t.agreement, 0) + " % of the chosen cell's choices\n";
  for (const auto& [name, q] : t.accuracy)
    text += "          " + name + " " + fixed(q.min, 2) + " to " + fixed(q.max, 2) +
            ", quartiles " + fixed(q.q1, 2) + ", " + fixed(q.median, 2) + ", " + fixed(q.q3, 2) +
            "\n";
  return text;
}

std::string hessian_text(const HessianRecord& h) {
  std::string text = "  Hessian dominant eigenvalue " + fixed(h.mu.eigenvalue, 4) + ", norm " +
                     fixed(h.mu.norm, 4) + ", trace " + fixed(h.mu.trace, 4) +
                     " (of theta: " + fixed(h.theta.eigenvalue, 3) + ", " + fixed(h.theta.norm, 3) +
                     ", " + fixed(h.theta.trace, 3) + ")\n";
  if (h.bound && h.expectation)
    text += "          expected loss " + fixed(h.expectation->mean, 4) + " +- " +
            fixed(h.expectation->deviation, 4) + "; bound " + fixed(h.bound->value(), 4) + " = " +
            fixed(h.bound->loss, 4) + " at the mean + " + fixed(h.bound->trace_term, 4) + "\n";
  return text;
}

/// What the epoch's time went into, where evidence took some of it.
std::string share_text(const std::map<std::string, double>& seconds) {
  if (!seconds.contains("trajectory") && !seconds.contains("hessian")) return "";
  double total = 0, evidence = 0;
  std::string parts;
  for (const auto& [name, value] : seconds) {
    total += value;
    if (name != "trajectory" && name != "hessian") continue;
    evidence += value;
    parts += (parts.empty() ? "" : ", ") + name + " " + fixed(value, 2) + " s";
  }
  return "  cost    " + parts + ": " + fixed(100 * evidence / std::max(total, 1e-9), 1) +
         " % of the epoch's " + fixed(total, 1) + " s\n";
}

}  // namespace

std::string progress_bar(const StepProgress& progress, int columns) {
  constexpr int widest = 30, narrowest = 5;
  const std::string after = " " + figures(progress);
  std::string line = title(progress);
  const int room = columns - static_cast<int>(line.size() + after.size()) - 3;
  if (room >= narrowest) {
    const int width = std::min(room, widest);
    const int done = static_cast<int>(share_done(progress) * width);
    std::string bar(static_cast<std::size_t>(done), '=');
    if (done < width) bar += '>';
    bar.resize(static_cast<std::size_t>(width), ' ');
    line += " [" + bar + "]";
  }
  return (line + after).substr(0, static_cast<std::size_t>(std::max(columns, 0)));
}

std::string progress_line(const StepProgress& progress) {
  return title(progress) + " " + figures(progress);
}

std::string epoch_text(const EpochRecord& record) {
  std::string text = "epoch " + std::to_string(record.epoch) + "/" + std::to_string(record.epochs) +
                     "  training loss " + fixed(record.train_loss, 4) + ", " +
                     fixed(record.train_top1, 2) + " %; validation loss " +
                     fixed(record.val_loss, 4) + ", " + fixed(record.val_top1, 2) + " %\n";
  text += "  cell    " + record.genotype + "\n";
  if (record.table) text += "  table   " + accuracies(*record.table) + "\n";
  if (record.expected_cost)
    text += "  cost    " + fixed(*record.expected_cost, 4) + " expected, 1: all operations alike\n";
  text += "  memory  " + memory_text(record) + "\n";
  text += "  speed   " + fixed(record.images_per_second, 0) + " images/s; architecture step " +
          fixed(record.architecture_step_ms, 1) + " ms, weight step " +
          fixed(record.weight_step_ms, 1) + " ms\n";
  if (record.trajectory) text += trajectory_text(*record.trajectory);
  if (record.hessian) text += hessian_text(*record.hessian);
  return text + share_text(record.seconds);
}

std::string epoch_text(const TrainEpoch& record) {
  return "epoch " + std::to_string(record.epoch) + "/" + std::to_string(record.epochs) +
         "  training loss " + fixed(record.train_loss, 4) + ", " + fixed(record.train_top1, 2) +
         " %; test loss " + fixed(record.test_loss, 4) + ", top-1 " + fixed(record.test_top1, 2) +
         " %, top-5 " + fixed(record.test_top5, 2) + " %\n  memory  " + memory_text(record) +
         "\n  speed   " + fixed(record.images_per_second, 0) + " images/s; step " +
         fixed(record.step_ms, 1) + " ms\n";
}

Terminal::Terminal(bool quiet, double log_every)
    : quiet_(quiet), bar_(has_terminal()), log_every_(log_every), last_(Clock::now()) {}

void Terminal::clear_bar() {
  if (bar_shown_) std::cerr << "\r\033[K" << std::flush;
  bar_shown_ = false;
}

void Terminal::print(const std::string& text) {
  if (quiet_) return;
  clear_bar();
  std::cout << text << std::flush;
}

void Terminal::step(const StepProgress& progress) {
  if (quiet_) return;
  const Clock::time_point now = Clock::now();
  constexpr double bar_interval = 0.1;
  if (std::chrono::duration<double>(now - last_).count() < (bar_ ? bar_interval : log_every_))
    return;
  last_ = now;
  if (bar_) {
    // One column is left free: some terminals wrap when the last one is written.
    std::cerr << "\r\033[K" << progress_bar(progress, terminal_columns() - 1) << std::flush;
    bar_shown_ = true;
  } else {
    std::cout << progress_line(progress) << std::endl;
  }
}

}  // namespace drnas::tools
