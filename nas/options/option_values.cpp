// SPDX-License-Identifier: MIT
#include "nas/options/option_values.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/core/error.h"

namespace drnas {
namespace {

/// The whole text as a number.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

/// 512M, 2GiB, 1000: powers of 1024.
std::optional<std::int64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view units = "KMGT";
  if (text.ends_with("iB")) text.remove_suffix(2);
  int shift = 0;
  if (const std::size_t unit = text.empty() ? units.npos : units.find(text.back());
      unit != units.npos) {
    shift = 10 * (static_cast<int>(unit) + 1);
    text.remove_suffix(1);
  }
  const auto number = parse_number<std::int64_t>(text);
  if (!number || *number < 0 || *number > (std::numeric_limits<std::int64_t>::max() >> shift))
    return {};
  return *number << shift;
}

/// A,B,C, also with spaces after the commas.
template <class Number>
std::optional<std::vector<Number>> parse_list(std::string_view text) {
  std::vector<Number> values;
  while (!text.empty()) {
    const std::size_t end = text.find(',');
    std::string_view part = text.substr(0, end);
    part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
    part = part.substr(0, part.find_last_not_of(' ') + 1);
    const auto value = parse_number<Number>(part);
    if (!value || end == text.size() - 1) return {};
    values.push_back(*value);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return values;
}

[[noreturn]] void fail(const std::string& text, const ValueSource& source, const char* expected) {
  throw Error(source.where + ": '" + text + "', expected " + expected);
}

/// Takes what `parse` gave, and fails with what was expected when it is empty.
template <class T, class Parsed>
void take(const Parsed& parsed, const std::string& text, const ValueSource& source,
          const char* expected, T& value) {
  if (!parsed) fail(text, source, expected);
  value = *parsed;
}

}  // namespace

bool is_utf8(const std::string& text) {
  try {
    return !nlohmann::json(text).dump().empty();
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr std::string_view digits = "0123456789abcdef";
      quoted += "\\u00";
      quoted += digits[byte >> 4];
      quoted += digits[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

/// Infinity is written as inf.
std::string toml_float(double value) {
  const std::string text = value_text(value);
  return text.find_first_of(".ein") == std::string::npos ? text + ".0" : text;
}

void read_value(const std::string& text, const ValueSource&, std::string& value) { value = text; }

void read_value(const std::string& text, const ValueSource&, std::filesystem::path& value) {
  value = text;
}

void read_value(const std::string& text, const ValueSource& source, int& value) {
  take(parse_number<int>(text), text, source, "an integer", value);
}

void read_value(const std::string& text, const ValueSource& source, std::int64_t& value) {
  if (source.bytes)
    return take(parse_bytes(text), text, source, "a number of bytes, as in 1000000, 512M or 2G",
                value);
  take(parse_number<std::int64_t>(text), text, source, "an integer", value);
}

void read_value(const std::string& text, const ValueSource& source, std::uint64_t& value) {
  take(parse_number<std::uint64_t>(text), text, source, "an integer of 0 to 18446744073709551615",
       value);
}

void read_value(const std::string& text, const ValueSource& source, double& value) {
  take(parse_number<double>(text), text, source, "a number", value);
}

void read_value(const std::string& text, const ValueSource& source, bool& value) {
  if (text != "true" && text != "false") fail(text, source, "true or false");
  value = text == "true";
}

void read_value(const std::string& text, const ValueSource& source,
                std::vector<std::uint64_t>& value) {
  take(parse_list<std::uint64_t>(text), text, source, "integers separated by commas", value);
}

void read_value(const std::string& text, const ValueSource& source, std::vector<int>& value) {
  take(parse_list<int>(text), text, source, "integers separated by commas", value);
}

void read_value(const std::string& text, const ValueSource& source, std::vector<double>& value) {
  take(parse_list<double>(text), text, source, "numbers separated by commas", value);
}

}  // namespace drnas
