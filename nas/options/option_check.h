// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "nas/options/option_info.h"

namespace drnas {

/// A, B, C.
std::string joined(const auto& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

/// A value that its option does not take.
struct OptionError : Error {
  OptionError(std::string_view name, const std::string& what) : Error(what), option(name) {}
  std::string option;
};

using Names = std::initializer_list<std::string_view>;

/// Checks values with one message form: "--name value: expected ...".
template <class Options>
class OptionChecker {
 public:
  explicit OptionChecker(const Options& options) : options_(options) {}

  void require(bool good, std::string_view name, const std::string& expected) const {
    if (good) return;
    const std::string value = option_text(options_, *find_option_of<Options>(name));
    throw OptionError(name, "--" + std::string(name) + " " + value + ": expected " + expected);
  }
  /// What `parse` makes of a text; its errors, which begin with the option, are of that option.
  auto parsed(std::string_view name, const auto& parse, const std::string& text) const {
    try {
      return parse(text);
    } catch (const Error& error) {
      throw OptionError(name, error.what());
    }
  }
  /// All texts that a run stores: in files whose form is UTF-8.
  void texts() const {
    for (const OptionOf<Options>& info : options_of<Options>())
      if (info.role != OptionRole::place && info.role != OptionRole::action)
        require(is_utf8(option_text(options_, info)), info.name,
                "text in UTF-8 (for a path: rename it, or name it by a symbolic link)");
  }
  void one_of(std::string_view name, const std::string& value, const auto& names) const {
    require(std::find(names.begin(), names.end(), value) != names.end(), name,
            "one of " + joined(names));
  }
  void integer(std::string_view name, std::int64_t value, std::int64_t low,
               std::int64_t high) const {
    require(value >= low && value <= high, name,
            std::to_string(low) + " to " + std::to_string(high));
  }
  /// Finite and at least zero; NaN fails.
  void not_negative(std::string_view name, double value) const {
    require(value >= 0 && std::isfinite(value), name, "a finite number of at least 0");
  }
  void positive(std::string_view name, double value) const {
    require(value > 0 && std::isfinite(value), name, "a finite number above 0");
  }
  void fraction(std::string_view name, double value) const {
    require(value >= 0 && value < 1, name, "at least 0 and below 1");
  }

 private:
  const Options& options_;
};

/// Checks all values. Throws Error naming the file and line, where the value was given in a file,
/// or the option.
template <class Options>
void validate_given(const Options& options, const std::vector<GivenOption>& given) {
  try {
    options.validate();
  } catch (const OptionError& error) {
    const auto source = std::find_if(given.rbegin(), given.rend(), [&](const GivenOption& option) {
      return option.name == error.option;
    });
    if (source == given.rend()) throw;
    throw Error(source->where + std::string(error.what()).substr(2 + error.option.size()));
  }
}

}  // namespace drnas
