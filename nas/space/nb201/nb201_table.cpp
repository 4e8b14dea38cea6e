// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_table.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string>
#include <string_view>

#include "engine/files.h"
#include "kernels/core/error.h"
#include "nas/space/nb201/nb201_accuracies.h"
#include "nas/space/nb201/nb201_cell.h"

namespace drnas {
namespace {

constexpr std::string_view header = "architecture,cifar10_test,cifar100_test,imagenet16_120_test";
constexpr std::array<std::string_view, 4> column{"architecture", "cifar10_test", "cifar100_test",
                                                 "imagenet16_120_test"};

/// Cuts the first line off `text`; line ends may be LF or CR LF.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// A readable piece of a line that may be anything, a binary file included.
std::string excerpt(std::string_view text) {
  std::string shown(text.substr(0, 80));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return "'" + shown + (text.size() > 80 ? "...'" : "'");
}

std::array<std::string_view, 4> split_row(std::string_view line, const std::string& where) {
  std::array<std::string_view, 4> cells;
  if (std::count(line.begin(), line.end(), ',') != 3) {
    throw Error(where + ": " + excerpt(line) + ", expected four values: " + std::string(header));
  }
  for (std::string_view& cell : cells) {
    const std::size_t end = line.find(',');
    cell = line.substr(0, end);
    line.remove_prefix(std::min(line.size(), cell.size() + 1));
  }
  return cells;
}

double parse_accuracy(std::string_view text, std::string_view name, const std::string& where) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  // Written so that NaN fails, too.
  if (code != std::errc{} || end != text.data() + text.size() || !(value >= 0 && value <= 100)) {
    throw Error(where + ": " + std::string(name) + " is " + excerpt(text) +
                ", expected an accuracy of 0 to 100 percent");
  }
  return value;
}

Nb201Cell parse_architecture(std::string_view text, const std::string& where) {
  try {
    return parse_nb201(text);
  } catch (const Error& error) {
    throw Error(where + ": " + error.what());
  }
}

/// Throws when a cell has no line; `line_of` holds 0 there.
void check_complete(const std::vector<int>& line_of, const std::filesystem::path& file) {
  const auto missing = std::count(line_of.begin(), line_of.end(), 0);
  if (missing == 0) return;
  const auto first = std::find(line_of.begin(), line_of.end(), 0) - line_of.begin();
  throw Error(file.string() + ": " + std::to_string(missing) + " of " +
              std::to_string(Nb201Cell::count) + " architectures are missing, for example " +
              to_string(Nb201Cell::from_index(static_cast<int>(first))));
}

/// zlib's stream of, for each of three data sets, the high and then the low bytes of all accuracies
/// in hundredths of a percent.
std::vector<TableAccuracy> unpack_accuracies(std::span<const std::byte> packed) {
  constexpr std::size_t count = Nb201Cell::count, sets = 3;
  std::vector<unsigned char> bytes(2 * sets * count);
  uLongf size = bytes.size();
  const int code =
      uncompress(bytes.data(), &size, reinterpret_cast<const Bytef*>(packed.data()), packed.size());
  if (code != Z_OK || size != bytes.size()) throw Error("the accuracy table is damaged");
  const auto percent = [&](std::size_t set, std::size_t cell) {
    const unsigned char* planes = bytes.data() + 2 * set * count;
    return (256 * planes[cell] + planes[count + cell]) / 100.0;
  };
  std::vector<TableAccuracy> accuracies(count);
  for (std::size_t cell = 0; cell < count; ++cell)
    accuracies[cell] = {percent(0, cell), percent(1, cell), percent(2, cell)};
  return accuracies;
}

}  // namespace

AccuracyTable read_nb201_table(const std::filesystem::path& file) {
  std::vector<TableAccuracy> accuracies(Nb201Cell::count);
  const std::string content = read_text_file(file);
  std::string_view rest = content;
  if (const std::string_view first = take_line(rest); first != header) {
    throw Error(file.string() + " line 1: header " + excerpt(first) + ", expected " +
                std::string(header));
  }
  std::vector<int> line_of(Nb201Cell::count, 0);
  for (int line = 2; !rest.empty(); ++line) {
    const std::string where = file.string() + " line " + std::to_string(line);
    const auto cells = split_row(take_line(rest), where);
    const Nb201Cell cell = parse_architecture(cells[0], where);
    const auto index = static_cast<std::size_t>(cell.index());
    if (line_of[index] != 0) {
      throw Error(where + ": architecture " + to_string(cell) + " was on line " +
                  std::to_string(line_of[index]) + " already, expected each one once");
    }
    line_of[index] = line;
    accuracies[index] = {parse_accuracy(cells[1], column[1], where),
                         parse_accuracy(cells[2], column[2], where),
                         parse_accuracy(cells[3], column[3], where)};
  }
  check_complete(line_of, file);
  return AccuracyTable(std::move(accuracies));
}

const AccuracyTable& built_in_nb201_table() {
  static const AccuracyTable table(unpack_accuracies(nb201_accuracies()));
  return table;
}

}  // namespace drnas
