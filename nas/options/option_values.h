// SPDX-License-Identifier: MIT
// Kinds of values that options have: how they are typed, and how they stand in a TOML file.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace drnas {

bool is_utf8(const std::string& text);

/// The value as it is typed on the command line; read_value() gives it back.
template <class Number>
requires std::integral<Number> || std::floating_point<Number> std::string value_text(Number value) {
  std::array<char, 32> buffer;
  // Shortest form that reads back to the same value.
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}
inline std::string value_text(bool value) { return value ? "true" : "false"; }
inline std::string value_text(const std::string& value) { return value; }
inline std::string value_text(const std::filesystem::path& value) { return value.string(); }
template <class Number>
std::string value_text(const std::vector<Number>& values) {
  std::string text;
  for (const Number value : values) text += (text.empty() ? "" : ",") + value_text(value);
  return text;
}

/// A quoted string.
std::string toml_string(std::string_view text);
/// TOML tells floats from integers.
std::string toml_float(double value);

/// The value as it stands in a TOML file.
template <class T>
std::string value_toml(const T& value) {
  return value_text(value);
}
inline std::string value_toml(double value) { return toml_float(value); }
inline std::string value_toml(const std::string& value) { return toml_string(value); }
inline std::string value_toml(const std::filesystem::path& value) {
  return toml_string(value.string());
}
template <class Number>
std::string value_toml(const std::vector<Number>& values) {
  std::string text;
  for (const Number value : values) text += (text.empty() ? "" : ", ") + value_toml(value);
  return "[" + text + "]";
}

/// Where a text came from, for messages, and whether numbers take suffixes K, M, G, T.
struct ValueSource {
  std::string where;
  bool bytes = false;
};
/// Throws Error "`where`: 'text', expected ..." when the text is not of the value's kind.
void read_value(const std::string& text, const ValueSource& source, std::string& value);
void read_value(const std::string& text, const ValueSource& source, std::filesystem::path& value);
void read_value(const std::string& text, const ValueSource& source, int& value);
void read_value(const std::string& text, const ValueSource& source, std::int64_t& value);
void read_value(const std::string& text, const ValueSource& source, std::uint64_t& value);
void read_value(const std::string& text, const ValueSource& source, double& value);
void read_value(const std::string& text, const ValueSource& source, bool& value);
void read_value(const std::string& text, const ValueSource& source,
                std::vector<std::uint64_t>& value);
void read_value(const std::string& text, const ValueSource& source, std::vector<int>& value);
void read_value(const std::string& text, const ValueSource& source, std::vector<double>& value);

}  // namespace drnas
