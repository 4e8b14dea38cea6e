// SPDX-License-Identifier: MIT
#include "tools/cli/text.h"

#include <cerrno>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace drnas::tools {

std::string fixed(double value, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

std::string duration(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "-";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  std::ostringstream text;
  text << std::setfill('0');
  if (whole >= 3600) text << whole / 3600 << ':' << std::setw(2);
  text << whole / 60 % 60 << ':' << std::setw(2) << whole % 60;
  return text.str();
}

std::string mebibytes(std::int64_t bytes) {
  return fixed(static_cast<double>(bytes) / (1 << 20), 1) + " MiB";
}

std::string shell_word(const std::string& text) {
  constexpr const char* plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,";
  if (!text.empty() && text.find_first_not_of(plain) == text.npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string program_beside(const std::string& name) {
  const std::string self = program_invocation_name;
  return shell_word(self.substr(0, self.rfind('/') + 1) + name);
}

std::string place_text(const TablePlace& p) {
  std::string of = std::to_string(p.of);
  if (of.size() > 3) of.insert(of.size() - 3, ",");
  return "place " + std::to_string(p.place) + " of " + of + " on " + std::string(p.data_set) +
         ", better than " + fixed(100.0 * (p.of - p.place) / p.of, 1) + " % of all cells";
}

std::string accuracies(const TableAccuracy& table) {
  return "CIFAR-10 " + fixed(table.cifar10, 2) + ", CIFAR-100 " + fixed(table.cifar100, 2) +
         ", ImageNet-16-120 " + fixed(table.imagenet16_120, 2);
}

}  // namespace drnas::tools
