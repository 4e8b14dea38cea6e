// SPDX-License-Identifier: MIT
#pragma once

#include "nas/options/option_info.h"
#include "nas/options/search_options.h"

namespace drnas {

using OptionInfo = OptionOf<SearchOptions>;
template <>
std::span<const OptionInfo> options_of<SearchOptions>();

/// The options of a search.
inline std::span<const OptionInfo> option_table() { return options_of<SearchOptions>(); }
/// Null for an unknown name.
inline const OptionInfo* find_option(std::string_view name) {
  return find_option_of<SearchOptions>(name);
}

}  // namespace drnas
