// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

namespace drnas {

/// "a, b or c": the names of all items, for help and messages. `name` gives an item's name.
template <class Items, class Name = std::identity>
std::string choices(const Items& items, const Name& name = {}) {
  std::string text;
  std::size_t left = std::size(items);
  for (const auto& item : items) {
    if (!text.empty()) text += left > 1 ? ", " : " or ";
    text += std::string(std::invoke(name, item));
    --left;
  }
  return text;
}

}  // namespace drnas
