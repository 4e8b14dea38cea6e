// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nas/options/search_options.h"

namespace drnas {

/// What a method starts from in a base, over the preset and below what the user gives. `drnas`:
/// Table 4 of DrNAS (Chen et al., ICLR 2021), which runs every method by one recipe. `authors`:
/// each method's own published settings for the space. `nats`: those of NATS-Bench (Dong et al.,
/// TPAMI 2021).
std::vector<GivenOption> method_defaults(std::string_view method, std::string_view base,
                                         std::string_view space);
/// What is expected of --base where it does not go with the method and the space; empty where it
/// does.
std::string base_refusal(const SearchOptions& options);

}  // namespace drnas
