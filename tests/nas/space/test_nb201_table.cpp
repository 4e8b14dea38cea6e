// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/option_files.h"

namespace {

namespace fs = std::filesystem;
using drnas::Nb201Cell;
using drnas::Nb201Table;
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
    const Nb201Table read(table.write(rows, header, end));
    int wrong = 0;
    for (int i = 0; i < Nb201Cell::count; ++i) {
      const drnas::TableAccuracy& a = read.at(Nb201Cell::from_index(i));
      // Both are the double nearest to a number of two decimals.
      wrong += a.cifar10 != hundredths(i, 0) / 100.0 || a.cifar100 != hundredths(i, 1) / 100.0 ||
               a.imagenet16_120 != hundredths(i, 2) / 100.0;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("nb201 table: median of each column") {
  const TableFile table;
  const Nb201Table read(table.write(all_rows()));
  for (int c = 0; c < 3; ++c) {
    std::vector<int> values;
    for (int i = 0; i < Nb201Cell::count; ++i) values.push_back(hundredths(i, c));
    std::sort(values.begin(), values.end());
    const double got = c == 0   ? read.median().cifar10
                       : c == 1 ? read.median().cifar100
                                : read.median().imagenet16_120;
    CHECK(got == values[7812] / 100.0);
  }
}

TEST_CASE("nb201 table: bad files name file, line and expectation") {
  const TableFile table;
  const std::vector<std::string> good = all_rows();
  const std::string name = table.file.string();
  const auto read = [&](const std::vector<std::string>& rows, const std::string& first = header) {
    const fs::path file = table.write(rows, first);
    return [file] { Nb201Table{file}; };
  };
  const auto with = [&](std::size_t row, const std::string& text) {
    std::vector<std::string> rows = good;
    rows[row] = text;
    return read(rows);
  };
  const std::string cell = to_string(Nb201Cell::from_index(100));

  check_fails([&] { Nb201Table{table.folder.path / "none.csv"}; }, {"none.csv"});
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

TEST_CASE("nb201 table: the published accuracies") {
  const char* file = std::getenv("DRNAS_NB201_TABLE");
  if (file == nullptr) {
    MESSAGE("skipped: DRNAS_NB201_TABLE is not set");
    return;
  }
  const Nb201Table table{fs::path(file)};
  const drnas::TableAccuracy found = table.at(Nb201Cell{{3, 3, 3, 1, 3, 3}});
  CHECK(found.cifar10 == 94.36);
  CHECK(found.cifar100 == 73.51);
  CHECK(found.imagenet16_120 == 46.34);
  CHECK(table.at(Nb201Cell{{1, 1, 1, 1, 1, 1}}).cifar10 == 54.30);
  CHECK(table.median().cifar10 == 90.75);
  double best = 0;
  for (int i = 0; i < Nb201Cell::count; ++i) {
    best = std::max(best, table.at(Nb201Cell::from_index(i)).cifar10);
  }
  CHECK(best == 94.37);
}
