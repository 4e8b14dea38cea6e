// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "kernels/core/error.h"
#include "nas/options/option_values.h"

namespace drnas {

/// What may become of an option when a run is resumed or repeated.
enum class OptionRole {
  result,     ///< can change results: fixed for a run
  input,      ///< where images and costs lie: may differ when a run is resumed, these may not
  reporting,  ///< cannot change results: may differ when a run is resumed
  place,      ///< where files are written: given anew when a run is resumed
  action,     ///< what to do now: not stored
};

/// One row of the table from which a program's command line, --help, configuration file and
/// comparison on resume come: a member of `Options`.
template <class Options>
struct OptionOf {
  using Member =
      std::variant<std::string Options::*, std::filesystem::path Options::*, int Options::*,
                   std::int64_t Options::*, std::uint64_t Options::*, double Options::*,
                   bool Options::*, std::vector<std::uint64_t> Options::*,
                   std::vector<int> Options::*, std::vector<double> Options::*>;
  std::string_view name;
  Member member;
  std::string_view group;  ///< heading in --help
  std::string_view value;  ///< placeholder in --help
  OptionRole role;
  std::string_view help;
  bool bytes = false;  ///< takes suffixes K, M, G, T
};

/// An option that was given: its name without dashes in front, its value, and where it stands for
/// messages.
struct GivenOption {
  std::string name, value, where;
};

/// The table of a program; specialised for each.
template <class Options>
std::span<const OptionOf<Options>> options_of();

/// Null for an unknown name.
template <class Options>
const OptionOf<Options>* find_option_of(std::string_view name) {
  const auto table = options_of<Options>();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const auto& info) { return info.name == name; });
  return found == table.end() ? nullptr : &*found;
}

/// The value as it is typed on the command line; parses back to the same value.
template <class Options>
std::string option_text(const Options& options, const OptionOf<Options>& info) {
  return std::visit([&](auto member) { return value_text(options.*member); }, info.member);
}
/// The value as it stands in a TOML file.
template <class Options>
std::string option_toml(const Options& options, const OptionOf<Options>& info) {
  return std::visit([&](auto member) { return value_toml(options.*member); }, info.member);
}
/// Throws Error "`where`: 'text', expected ..." when the text is not of the option's kind.
template <class Options>
void set_option(Options& options, const OptionOf<Options>& info, const std::string& text,
                const std::string& where) {
  std::visit(
      [&](auto member) {
        read_value(text, {where, info.bytes}, options.*member);
      },
      info.member);
}
template <class Options>
void copy_option(Options& to, const Options& from, const OptionOf<Options>& info) {
  std::visit([&](auto member) { to.*member = from.*member; }, info.member);
}
template <class Options>
bool same_option(const Options& a, const Options& b, const OptionOf<Options>& info) {
  return std::visit([&](auto member) { return a.*member == b.*member; }, info.member);
}

/// Throws Error naming an option that the table lacks or whose value is of the wrong kind.
template <class Options>
void apply_options(Options& options, const std::vector<GivenOption>& given) {
  for (const GivenOption& option : given) {
    const OptionOf<Options>* info = find_option_of<Options>(option.name);
    if (info == nullptr) throw Error(option.where + ": unknown option");
    set_option(options, *info, option.value, option.where);
  }
}

/// What a configuration file may hold: all options but actions.
template <class Options>
std::vector<std::string_view> config_keys() {
  std::vector<std::string_view> keys;
  for (const OptionOf<Options>& info : options_of<Options>())
    if (info.role != OptionRole::action) keys.push_back(info.name);
  return keys;
}

/// `key = value` lines of TOML. Throws Error naming `where`, line and key for anything else, an
/// unknown key included.
std::vector<GivenOption> parse_config(std::string_view content, const std::string& where,
                                      const std::vector<std::string_view>& keys);
/// The same from a file.
std::vector<GivenOption> read_config(const std::filesystem::path& file,
                                     const std::vector<std::string_view>& keys);

/// First lines of a stored configuration.
std::string config_header(const std::string& program);
/// A TOML file with a commented header that holds every option but actions.
template <class Options>
std::string options_toml(const Options& options, const std::string& program) {
  std::string text = config_header(program);
  std::string_view group;
  for (const OptionOf<Options>& info : options_of<Options>()) {
    if (info.role == OptionRole::action) continue;
    if (info.group != group) text += "\n# " + std::string(info.group) + "\n";
    group = info.group;
    text += std::string(info.name) + " = " + option_toml(options, info) + "\n";
  }
  return text;
}

}  // namespace drnas
