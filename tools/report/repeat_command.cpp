// SPDX-License-Identifier: MIT
#include "tools/report/repeat_command.h"

#include <algorithm>

#include "nas/options/option_table.h"

namespace drnas::tools {
namespace {

bool repeats(const OptionInfo& info) {
  return info.role != OptionRole::action && info.role != OptionRole::place;
}

GivenOption given(const SearchOptions& options, const OptionInfo& info) {
  const std::string name(info.name);
  return {name, option_text(options, info), "--" + name};
}

void append(const SearchOptions& options, const OptionInfo& info,
            std::vector<std::string>& arguments) {
  const std::string name = "--" + std::string(info.name), value = option_text(options, info);
  if (std::holds_alternative<bool SearchOptions::*>(info.member)) {
    arguments.push_back(value == "true" ? name : name + "=false");
  } else if (value.starts_with("-")) {
    arguments.push_back(name + "=" + value);
  } else {
    arguments.push_back(name);
    arguments.push_back(value);
  }
}

}  // namespace

std::vector<std::string> repeat_arguments(const SearchOptions& options) {
  // What other options start from comes first; one given may then change what another defaults to.
  std::vector<GivenOption> chosen;
  for (const char* name : {"preset", "recipe", "dataset"})
    chosen.push_back(given(options, *find_option(name)));
  const auto is_chosen = [&](const OptionInfo& info) {
    return std::any_of(chosen.begin(), chosen.end(),
                       [&](const GivenOption& option) { return option.name == info.name; });
  };
  bool complete = false;
  while (!complete) {
    complete = true;
    const SearchOptions start = resolve_options({}, chosen);
    for (const OptionInfo& info : option_table()) {
      if (!repeats(info) || is_chosen(info) || same_option(start, options, info)) continue;
      chosen.push_back(given(options, info));
      complete = false;
    }
  }
  std::vector<std::string> arguments;
  const SearchOptions defaults, preset = preset_options(options.preset, options.recipe);
  for (const OptionInfo& info : option_table()) {
    if (!is_chosen(info)) continue;
    const bool first = info.name == "preset" || info.name == "recipe";
    const bool implied = first ? same_option(defaults, options, info)
                               : info.name == "dataset" && same_option(preset, options, info);
    if (!implied) append(options, info, arguments);
  }
  return arguments;
}

}  // namespace drnas::tools
