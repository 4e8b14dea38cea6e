// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "nas/search_options.h"

namespace drnas {

/// What may become of an option when a run is resumed or repeated.
enum class OptionRole {
  result,     ///< can change results: fixed for a run
  reporting,  ///< cannot: may differ when a run is resumed
  place,      ///< where the run lies; not compared
  action,     ///< what to do now: not stored
};

/// One row of the table from which the command line, --help, the configuration file and the
/// comparison on resume come.
struct OptionInfo {
  using Member =
      std::variant<std::string SearchOptions::*, std::filesystem::path SearchOptions::*,
                   int SearchOptions::*, std::int64_t SearchOptions::*,
                   std::uint64_t SearchOptions::*, double SearchOptions::*, bool SearchOptions::*,
                   std::vector<std::uint64_t> SearchOptions::*, std::vector<int> SearchOptions::*>;
  std::string_view name;
  Member member;
  std::string_view group;  ///< heading in --help
  std::string_view value;  ///< placeholder in --help
  OptionRole role;
  std::string_view help;
  bool bytes = false;  ///< takes suffixes K, M, G, T
};

std::span<const OptionInfo> option_table();
/// Null for an unknown name.
const OptionInfo* find_option(std::string_view name);

/// The value as it is typed on the command line; parses back to the same value.
std::string option_text(const SearchOptions& options, const OptionInfo& info);
/// The value as it stands in a TOML file.
std::string option_toml(const SearchOptions& options, const OptionInfo& info);
/// Throws Error "`where`: 'text', expected ..." when the text is not of the option's kind.
void set_option(SearchOptions& options, const OptionInfo& info, const std::string& text,
                const std::string& where);
void copy_option(SearchOptions& to, const SearchOptions& from, const OptionInfo& info);
bool same_option(const SearchOptions& a, const SearchOptions& b, const OptionInfo& info);

}  // namespace drnas
