// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/core/error.h"

namespace drnas {

/// Copying and writing JSON takes the stack that its nesting needs, which a file must not choose.
inline constexpr int deepest_json = 64;
inline void require_shallow_json(int depth) {
  if (depth > deepest_json)
    throw Error("nested in more than " + std::to_string(deepest_json) + " levels");
}

/// What was wrong, without the library's name and number of it.
inline std::string json_reason(const std::exception& failure) {
  const std::string what = failure.what();
  const std::size_t end = what.starts_with("[json.") ? what.find("] ") : what.npos;
  return end == what.npos ? what : what.substr(end + 2);
}

/// The text as JSON. Throws Error where it is nested deeper than any file of ours, and what `Json`
/// throws where it is none.
template <class Json>
Json parse_json(std::string_view text) {
  return Json::parse(text, [](int depth, typename Json::parse_event_t, Json&) {
    require_shallow_json(depth);
    return true;
  });
}

}  // namespace drnas
