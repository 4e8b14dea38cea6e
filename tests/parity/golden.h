// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/core/error.h"

/// Access to the folder of reference values, for tests that compare with them.
namespace drnas::test {

/// The folder named by DRNAS_GOLDEN_DIR, if the variable is set and names a folder.
inline std::optional<std::filesystem::path> golden_directory() {
  const char* name = std::getenv("DRNAS_GOLDEN_DIR");
  if (name == nullptr || !std::filesystem::is_directory(name)) return std::nullopt;
  return std::filesystem::path(name);
}

/// A file of that folder, if both exist.
inline std::optional<std::filesystem::path> golden_file(const std::string& name) {
  const auto directory = golden_directory();
  if (!directory || !std::filesystem::is_regular_file(*directory / name)) return std::nullopt;
  return *directory / name;
}

/// A table of numbers with a line of column names above it.
struct NumberTable {
  std::vector<std::string> names;
  std::vector<std::vector<double>> rows;

  std::size_t column(const std::string& name) const {
    for (std::size_t i = 0; i < names.size(); ++i)
      if (names[i] == name) return i;
    throw Error("table: expected a column named " + name);
  }
};

/// Reads comma-separated numbers. Throws Error for a file that cannot be opened, a ragged line or a
/// word that is no number.
inline NumberTable read_number_table(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw Error(path.string() + ": cannot be opened");
  NumberTable table;
  std::string line, word;
  std::getline(file, line);
  for (std::istringstream words(line); std::getline(words, word, ',');) table.names.push_back(word);
  for (int number = 2; std::getline(file, line); ++number) {
    std::vector<double> row;
    for (std::istringstream words(line); std::getline(words, word, ',');) {
      char* end = nullptr;
      row.push_back(std::strtod(word.c_str(), &end));
      if (end == word.c_str() || *end != '\0')
        throw Error(path.string() + ", line " + std::to_string(number) +
                    ": expected a number, got " + word);
    }
    if (row.size() != table.names.size())
      throw Error(path.string() + ", line " + std::to_string(number) + ": expected " +
                  std::to_string(table.names.size()) + " numbers");
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace drnas::test
