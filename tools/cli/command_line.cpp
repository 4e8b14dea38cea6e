// SPDX-License-Identifier: MIT
#include "tools/cli/command_line.h"

#include <numeric>

#include "kernels/layers/conv2d_plan.h"

namespace drnas::tools {
namespace {

/// Number of single-character edits between two words.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

void fail_unknown(const std::string& argument, const std::vector<std::string_view>& known) {
  if (!argument.starts_with("-")) {
    throw Error("unexpected argument '" + argument +
                "', expected options that start with -- (--help lists them)");
  }
  std::string name = argument.substr(0, argument.find('='));
  name.erase(0, name.find_first_not_of('-'));
  std::replace(name.begin(), name.end(), '_', '-');
  const auto nearest =
      std::min_element(known.begin(), known.end(), [&](std::string_view a, std::string_view b) {
        return edit_distance(a, name) < edit_distance(b, name);
      });
  const bool near = !name.empty() && edit_distance(*nearest, name) <= 1 + name.size() / 4;
  throw Error("unknown option " + argument + ", expected " +
              (near ? "--" + std::string(*nearest) : "one of those that --help lists"));
}

std::filesystem::path free_path(const std::filesystem::path& base) {
  std::filesystem::path path = base;
  for (int number = 2; std::filesystem::exists(path); ++number)
    path = base.string() + "-" + std::to_string(number);
  return path;
}

std::string version_text(const std::string& program) {
  return program + " " + version() + "\ncommit    " + git_commit() + "\ncompiler  " + compiler() +
         "\noneDNN    " + kernels::onednn_version() + "\ndevice    " + cuda_versions() + "\n";
}

}  // namespace drnas::tools
