// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace drnas::tools {

/// Files of tools/report, built into the program: the page with the placeholder lines /*STYLE*/,
/// /*DATA*/ and /*SCRIPT*/, its style, and its scripts one after the other.
extern const std::string_view report_template, report_style, report_script;

/// The page: `report_template` with its placeholders replaced, by report_style, `data` and
/// report_script.
std::string report_page(std::string_view data);

}  // namespace drnas::tools
