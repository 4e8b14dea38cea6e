// SPDX-License-Identifier: MIT
// A safetensors file as header and data, to be changed and put together with lengths and checksums
// that fit.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "tests/fuzz/fuzz.h"

namespace drnas::fuzz {

struct SafetensorsParts {
  nlohmann::ordered_json header;
  Bytes data;
};

/// Nothing where the header is cut short or no JSON object.
std::optional<SafetensorsParts> take_apart(Input file);
/// The file, with the checksums that its reader expects where it holds any.
Bytes put_together(SafetensorsParts parts);

/// Changes entries, metadata, data, or bytes anywhere.
void change_safetensors(Bytes& file, const Change& change);

}  // namespace drnas::fuzz
