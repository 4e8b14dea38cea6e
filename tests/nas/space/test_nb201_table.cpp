// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/files.h"
#include "nas/space/nb201/nb201_cell.h"
#include "tests/support/option_files.h"

namespace {

namespace fs = std::filesystem;
using drnas::AccuracyTable;
using drnas::Nb201Cell;
using drnas::read_nb201_table;
using drnas::TableAccuracy;
using drnas::test_files::check_fails;
using drnas::test_files::TemporaryFolder;

constexpr const char* header = "architecture,cifar10_test,cifar100_test,imagenet16_120_test";

/// Accuracy of cell `index` in column `column`, in hundredths, in mixed order.
int hundredths(int index, int column) { return (index * 7 + column * 31) % 10000; }

std::string decimal(int value) {
  const std::string cents = std::to_string(value % 100);
  return std::to_string(value / 100) + "." + (cents.size() < 2 ? "0" : "") + cents;
}

/// Rows of all cells, without the header; row i is cell i.
std::vector<std::string> all_rows() {
  std::vector<std::string> rows;
  for (int i = 0; i < Nb201Cell::count; ++i) {
    std::string row = to_string(Nb201Cell::from_index(i));
    for (int c = 0; c < 3; ++c) row += "," + decimal(hundredths(i, c));
    rows.push_back(row);
  }
  return rows;
}

struct TableFile {
  fs::path write(const std::vector<std::string>& rows, const std::string& first = header,
                 const std::string& end = "\n") const {
    std::string text = first + end;
    for (const std::string& row : rows) text += row + end;
    drnas::write_file_atomically(file, text);
    return file;
  }
  TemporaryFolder folder;
  fs::path file = folder.path / "table.csv";
};

}  // namespace

TEST_CASE("nb201 table: every row is found again, in any order and with either line end") {
  const TableFile table;
  std::vector<std::string> rows = all_rows();
  std::sort(rows.begin(), rows.end());
  for (const std::string end : {"\n", "\r\n"}) {
    const AccuracyTable read = read_nb201_table(table.write(rows, header, end));
    int wrong = 0;
    for (int i = 0; i < Nb201Cell::count; ++i) {
      const drnas::TableAccuracy& a = read.at(i);
      // Both are the double nearest to a number of two decimals.
      wrong += a.cifar10 != hundredths(i, 0) / 100.0 || a.cifar100 != hundredths(i, 1) / 100.0 ||
               a.imagenet16_120 != hundredths(i, 2) / 100.0;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("nb201 table: places among all cells, equal ones share the first") {
  const TableFile table;
  const AccuracyTable read = read_nb201_table(table.write(all_rows()));
  CHECK(read.size() == Nb201Cell::count);
  for (const int number : {0, 1, 7777, 15624}) {
    int better = 0;
    for (int i = 0; i < Nb201Cell::count; ++i) better += hundredths(i, 1) > hundredths(number, 1);
    CHECK(read.place(number, &TableAccuracy::cifar100) == 1 + better);
  }
}

TEST_CASE("nb201 table: the built-in one has the published figures") {
  const AccuracyTable& table = drnas::built_in_nb201_table();
  const auto of = [&](const char* cell) { return table.at(drnas::parse_nb201(cell).index()); };
  // The cell that DrNAS finds, and that of skip connections alone.
  const TableAccuracy best =
      of("|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|"
         "nor_conv_3x3~2|");
  CHECK((best.cifar10 == 94.36 && best.cifar100 == 73.51 && best.imagenet16_120 == 46.34));
  const TableAccuracy skips =
      of("|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|"
         "skip_connect~2|");
  CHECK((skips.cifar10 == 54.30 && skips.cifar100 == 15.61 && skips.imagenet16_120 == 16.32));
  double best_of[3] = {};
  for (int i = 0; i < table.size(); ++i) {
    best_of[0] = std::max(best_of[0], table.at(i).cifar10);
    best_of[1] = std::max(best_of[1], table.at(i).cifar100);
    best_of[2] = std::max(best_of[2], table.at(i).imagenet16_120);
  }
  CHECK((best_of[0] == 94.37 && best_of[1] == 73.51 && best_of[2] == 47.31));
}

TEST_CASE("nb201 table: bad files name file, line and expectation") {
  const TableFile table;
  const std::vector<std::string> good = all_rows();
  const std::string name = table.file.string();
  const auto read = [&](const std::vector<std::string>& rows, const std::string& first = header) {
    const fs::path file = table.write(rows, first);
    return [file] { read_nb201_table(file); };
  };
  const auto with = [&](std::size_t row, const std::string& text) {
    std::vector<std::string> rows = good;
    rows[row] = text;
    return read(rows);
  };
  const std::string cell = to_string(Nb201Cell::from_index(100));

  check_fails([&] { read_nb201_table(table.folder.path / "none.csv"); }, {"none.csv"});
  check_fails(read(good, "architecture,cifar10"),
              {name + " line 1", "'architecture,cifar10'", header});
  check_fails(read({}, ""), {name + " line 1", header});
  check_fails(read(good, std::string(3000, '\x01')), {name + " line 1", "?", header});
  check_fails(with(100, cell + ",1,2"), {name + " line 102", "four values"});
  check_fails(with(100, cell + ",1,2,3,4"), {name + " line 102", "four values"});
  check_fails(with(100, ""), {name + " line 102", "four values"});
  check_fails(with(100, "|conv~0|,1,2,3"), {name + " line 102", "'|conv~0|'", "nor_conv_3x3"});
  check_fails(with(0, cell + "|,1,2,3"), {name + " line 2", "the end"});
  for (const std::string bad :
       {"", "x", "9O.1", "1.5 ", " 1.5", "nan", "inf", "-0.1", "100.01", "1e3"}) {
    CAPTURE(bad);
    check_fails(with(100, cell + "," + bad + ",2,3"),
                {name + " line 102", "cifar10_test", "'" + bad + "'", "0 to 100"});
    check_fails(with(100, cell + ",1," + bad + ",3"), {"cifar100_test is '" + bad + "'"});
    check_fails(with(100, cell + ",1,2," + bad), {"imagenet16_120_test is '" + bad + "'"});
  }
  check_fails(with(15624, good[7]),
              {name + " line 15626", "line 9 already", to_string(Nb201Cell::from_index(7))});

  std::vector<std::string> rows = good;
  rows.erase(rows.begin() + 42);
  check_fails(read(rows), {name, "1 of 15625", "missing", to_string(Nb201Cell::from_index(42))});
  rows.resize(10000);
  check_fails(read(rows), {name, "5625 of 15625"});
  check_fails(read({}), {name, "15625 of 15625", to_string(Nb201Cell{})});
}

TEST_CASE("nb201 table: the built-in one is a full table to 0.01 %") {
  const char* file = std::getenv("DRNAS_NB201_TABLE");
  if (file == nullptr) {
    MESSAGE("skipped: DRNAS_NB201_TABLE is not set");
    return;
  }
  const AccuracyTable full = read_nb201_table(file), &built_in = drnas::built_in_nb201_table();
  double largest = 0;
  for (int i = 0; i < full.size(); ++i)
    for (double TableAccuracy::*set :
         {&TableAccuracy::cifar10, &TableAccuracy::cifar100, &TableAccuracy::imagenet16_120})
      largest = std::max(largest, std::abs(full.at(i).*set - built_in.at(i).*set));
  CHECK(largest < 0.005 + 1e-9);
}
