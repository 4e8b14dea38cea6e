// SPDX-License-Identifier: MIT
#include "tools/cli/text.h"

#include <cerrno>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "kernels/core/error.h"

namespace drnas::tools {
namespace {

/// Of a character of several bytes in UTF-8, any but the first.
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

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

std::string error_line(std::string_view message) {
  constexpr std::size_t longest = 5000;  // a path may have 4096 bytes
  constexpr std::string_view more = " ...";
  const std::string line = std::string("error: ") + Error(std::string(message)).what();
  if (line.size() <= longest) return line;
  std::size_t end = longest - more.size();
  while (is_continuation(line[end])) --end;
  return line.substr(0, end) + std::string(more);
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

std::string cost_text(const CellCost& c) {
  const bool millions = c.value >= 1e5;
  return "cost of the cell's operations: " + fixed(millions ? c.value / 1e6 : c.value, 3) +
         (millions ? " million " : " ") + c.unit + ", " + fixed(c.share, 4) +
         " of all operations mixed alike";
}

std::string accuracies(const TableAccuracy& table) {
  return "CIFAR-10 " + fixed(table.cifar10, 2) + ", CIFAR-100 " + fixed(table.cifar100, 2) +
         ", ImageNet-16-120 " + fixed(table.imagenet16_120, 2);
}

}  // namespace drnas::tools
