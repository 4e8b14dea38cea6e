// SPDX-License-Identifier: MIT
// NAS-Bench-201's table of accuracies. An input that begins with '+' stands for the first lines of
// a table that is else complete.
#include <algorithm>
#include <cmath>

#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/nb201/nb201_table.h"
#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

/// The rows of all cells, and where each begins.
struct Rows {
  std::string text;
  std::vector<std::size_t> begin;

  Rows() {
    for (int cell = 0; cell < Nb201Cell::count; ++cell) {
      begin.push_back(text.size());
      text += to_string(Nb201Cell::from_index(cell)) + ",90.5,70,45.25\n";
    }
  }
};

bool read(Input input) {
  static const Folder folder;
  std::string table(as_text(input));
  if (table.starts_with('+')) {
    static const Rows rows;
    table.erase(0, 1);
    const auto lines = static_cast<std::size_t>(std::count(table.begin(), table.end(), '\n'));
    const std::size_t first = std::max<std::size_t>(lines, 1) - 1;  // the header is no row
    if (first < rows.begin.size()) table += rows.text.substr(rows.begin[first]);
  }
  const fs::path file = folder.write("table.csv", table);
  return accepts([&] {
    const AccuracyTable accuracies = read_nb201_table(file);
    require(accuracies.size() == Nb201Cell::count, "another number of cells");
    for (int cell = 0; cell < accuracies.size(); ++cell)
      for (const TableColumn& column : table_columns) {
        const double accuracy = accuracies.at(cell).*column.accuracy;
        require(accuracy >= 0 && accuracy <= 100, "an accuracy out of range");
      }
  });
}

}  // namespace

DRNAS_FUZZ_TARGET(table, read, change_bytes)
