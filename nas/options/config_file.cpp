// SPDX-License-Identifier: MIT
// The part of TOML that a flat configuration needs: `key = value` a line, with strings, numbers,
// true, false, arrays of numbers, and comments.
#include <algorithm>
#include <set>

#include "engine/files.h"
#include "engine/version.h"
#include "kernels/core/error.h"
#include "nas/options/option_check.h"
#include "nas/options/option_table.h"

namespace drnas {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// What may follow a value: nothing or a comment.
bool is_end(std::string_view rest) {
  rest = trim(rest);
  return rest.empty() || rest.front() == '#';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Appends the escape whose letter is at `at`, and moves to its last character. False when it is
/// none.
bool append_escape(std::string_view text, std::size_t& at, std::string& out) {
  constexpr std::string_view letters = "btnfr\"\\", meanings = "\b\t\n\f\r\"\\";
  if (at >= text.size()) return false;
  if (const std::size_t known = letters.find(text[at]); known != std::string_view::npos) {
    out += meanings[known];
    return true;
  }
  if (text[at] != 'u' || text.size() - at < 5) return false;
  int code = 0;
  for (std::size_t i = 1; i <= 4; ++i) {
    const int digit = hex_digit(text[at + i]);
    if (digit < 0) return false;
    code = code * 16 + digit;
  }
  if (code >= 0x80) return false;  // text beyond ASCII is written as UTF-8
  out += static_cast<char>(code);
  at += 4;
  return true;
}

/// "basic" with escapes or 'literal'. False when it is not closed, or something follows it.
bool parse_string(std::string_view text, std::string& value) {
  const char quote = text.front();
  value.clear();
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (text[at] == quote) return is_end(text.substr(at + 1));
    if (text[at] == '\\' && quote == '"') {
      if (!append_escape(text, ++at, value)) return false;
    } else {
      value += text[at];
    }
  }
  return false;
}

/// The value as it would be typed on the command line. False when it is not TOML.
bool parse_value(std::string_view text, std::string& value) {
  if (text.empty()) return false;
  if (text.front() == '"' || text.front() == '\'') return parse_string(text, value);
  if (text.front() == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || !is_end(text.substr(end + 1))) return false;
    value = trim(text.substr(1, end - 1));
    return value.find_first_not_of("0123456789, +-.einfa") == std::string::npos;
  }
  value = trim(text.substr(0, text.find('#')));
  return !value.empty() && value.find_first_of(" \t\"'=[]{},") == std::string::npos;
}

GivenOption parse_line(std::string_view line, const std::string& where,
                       const std::vector<std::string_view>& keys) {
  const std::size_t equals = line.find('=');
  GivenOption option{std::string(trim(line.substr(0, equals))), "", ""};
  if (line.front() == '[' || equals == std::string_view::npos || option.name.empty()) {
    throw Error(where + ": '" + std::string(line) + "', expected key = value");
  }
  if (std::find(keys.begin(), keys.end(), option.name) == keys.end()) {
    throw Error(where + ": unknown key '" + option.name + "', expected one of " + joined(keys));
  }
  option.where = where + ": " + option.name;
  if (!parse_value(trim(line.substr(equals + 1)), option.value)) {
    throw Error(option.where + " = " + std::string(trim(line.substr(equals + 1))) +
                ", expected one value of TOML: a \"string\", a number, true, false or an array of "
                "numbers");
  }
  return option;
}

}  // namespace

std::vector<GivenOption> parse_config(std::string_view content, const std::string& where,
                                      const std::vector<std::string_view>& keys) {
  std::vector<GivenOption> options;
  std::set<std::string> seen;
  std::string_view rest = content;
  for (int number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (is_end(line)) continue;
    options.push_back(parse_line(line, where + " line " + std::to_string(number), keys));
    if (!seen.insert(options.back().name).second) {
      throw Error(options.back().where + " is there twice, expected each key once");
    }
  }
  return options;
}

std::vector<GivenOption> read_config(const std::filesystem::path& file,
                                     const std::vector<std::string_view>& keys) {
  return parse_config(read_text_file(file), file.string(), keys);
}

std::string config_header(const std::string& program) {
  return "# " + program + " " + version() + ", commit " + git_commit() +
         "\n# Repeat this run: " + program + " --config <this file> --out <new directory>\n";
}

std::vector<GivenOption> read_config(const std::filesystem::path& file) {
  return read_config(file, config_keys<SearchOptions>());
}

std::string SearchOptions::to_toml() const { return options_toml(*this, program); }

}  // namespace drnas
