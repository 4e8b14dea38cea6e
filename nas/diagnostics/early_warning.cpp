// SPDX-License-Identifier: MIT
#include "nas/diagnostics/early_warning.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "kernels/core/error.h"

namespace drnas {
namespace {

constexpr std::size_t window = 5, distance = 4;
constexpr double rise = 1.3, skip_share = 3.0 / 8;
constexpr Alarm alarms[] = {Alarm::skip, Alarm::eigenvalue, Alarm::nan};

}  // namespace

const char* to_string(Alarm alarm) {
  return alarm == Alarm::skip ? "skip" : alarm == Alarm::eigenvalue ? "eigenvalue" : "nan";
}

std::vector<Alarm> parse_alarms(const std::string& text) {
  std::vector<Alarm> found;
  if (text.empty()) return found;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string name = text.substr(begin, end - begin);
    begin = end + 1;
    const auto known = std::find_if(std::begin(alarms), std::end(alarms),
                                    [&](Alarm a) { return name == to_string(a); });
    if (known == std::end(alarms))
      throw Error("--stop-on " + text + ": '" + name +
                  "', expected skip, eigenvalue or nan, several joined by commas");
    found.push_back(*known);
  }
  return found;
}

double EarlyWarnings::window_mean(std::size_t end) const {
  double sum = 0;
  for (std::size_t i = end - window; i < end; ++i) sum += eigenvalues_[i].magnitude;
  return sum / window;
}

std::optional<Warning> EarlyWarnings::skip_warning(const EpochSigns& signs) const {
  if (signs.skips < skip_share * signs.places) return {};
  std::string text = "skip connections: " + std::to_string(signs.skips) + " of " +
                     std::to_string(signs.places) + " edges of the cell";
  if (below_.epoch == 0) return Warning{Alarm::skip, text, signs.epoch, signs.genotype};
  text += ", " + std::to_string(below_.skips) + " in epoch " + std::to_string(below_.epoch);
  return Warning{Alarm::skip, text, below_.epoch, below_.genotype};
}

std::optional<Warning> EarlyWarnings::eigenvalue_warning() const {
  const std::size_t count = eigenvalues_.size();
  if (count < window + distance) return {};
  const double now = window_mean(count), before = window_mean(count - distance);
  if (!(now > rise * before)) return {};
  const Point& good = eigenvalues_[count - distance - 1];
  char text[160];
  std::snprintf(
      text, sizeof text,
      "dominant eigenvalue rising: %.3g on average over the last %zu Hessians, %.3g until "
      "epoch %d (%.2f times)",
      now, window, before, good.epoch, now / before);
  return Warning{Alarm::eigenvalue, text, good.epoch, good.genotype};
}

std::vector<Warning> EarlyWarnings::observe(const EpochSigns& signs) {
  std::vector<Warning> warnings;
  const auto raise_once = [&](const std::optional<Warning>& warning, bool& raised) {
    if (warning && !raised) warnings.push_back(*warning);
    raised = warning.has_value();
  };
  const std::optional<Warning> skip = skip_warning(signs);
  raise_once(skip, skip_);
  if (!skip) below_ = signs;
  if (signs.eigenvalue) {
    eigenvalues_.push_back({signs.epoch, std::abs(*signs.eigenvalue), signs.genotype});
    raise_once(eigenvalue_warning(), rising_);
  }
  std::optional<Warning> nan;
  if (!std::isfinite(signs.val_loss))
    nan = {Alarm::nan, "validation loss is not finite: running statistics or weights diverge",
           signs.epoch, signs.genotype};
  raise_once(nan, nan_);
  return warnings;
}

}  // namespace drnas
