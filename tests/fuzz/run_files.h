// SPDX-License-Identifier: MIT
// An input as the files of a run's folder: config.toml, log.jsonl, run.json and the genotype.
#pragma once

#include <array>
#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz.h"

namespace drnas::fuzz {

inline constexpr std::array<const char*, 4> run_files{"config.toml", "log.jsonl", "run.json",
                                                      "genotype.txt"};

inline void write_run_files(const Folder& folder, Input input) {
  const std::vector<Input> parts = split(input, run_files.size());
  for (std::size_t f = 0; f < run_files.size(); ++f) folder.write(run_files[f], parts[f]);
}

/// Changes one value of a JSON object, or of one in it.
inline void change_json(nlohmann::ordered_json& json, const Change& change) {
  if (json.is_structured() && !json.empty() && !change.once_in(8)) {
    auto item = json.begin();
    std::advance(item, static_cast<std::ptrdiff_t>(change.rng() % json.size()));
    if (change.once_in(12)) {
      json.erase(item);
      return;
    }
    return change_json(*item, change);
  }
  Bytes text =
      to_bytes(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  change.bytes(text);
  auto changed = nlohmann::ordered_json::parse(text.begin(), text.end(), nullptr, false);
  if (!changed.is_discarded()) json = std::move(changed);
}

/// Changes a line of JSON so that it stays one, or any bytes.
inline void change_json_lines(Bytes& text, const Change& change) {
  if (text.empty() || change.once_in(4)) return change.bytes(text);
  const auto from = text.begin() + static_cast<std::ptrdiff_t>(change.rng() % text.size());
  const auto last = std::find(from, text.end(), '\n');
  const auto first = std::find(std::make_reverse_iterator(from), text.rend(), '\n').base();
  auto json = nlohmann::ordered_json::parse(first, last, nullptr, false);
  if (json.is_discarded()) return change.bytes(text);
  change_json(json, change);
  const std::string line =
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.insert(text.erase(first, last), line.begin(), line.end());
}

inline void change_run_files(Bytes& input, const Change& change) {
  change_part(input, run_files.size(), change,
              [&](Bytes& part) { change_json_lines(part, change); });
}

}  // namespace drnas::fuzz
