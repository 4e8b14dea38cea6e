// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace drnas {

/// The one exception of the project: a single line that names the thing that is wrong (file,
/// option, tensor) and what was expected. Programs print it after "error: " and exit with code 2.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string what) : std::runtime_error(one_line(std::move(what))) {}

 private:
  /// Names, values and files may hold line breaks and other control characters: spaces in a
  /// message.
  static std::string one_line(std::string text) {
    for (char& c : text)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    return text;
  }
};

}  // namespace drnas
