// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/safetensors.h"

namespace drnas::test_files {

/// The file with one tensor's values and some metadata replaced; its checksum matches again.
template <class T>
void change(const std::filesystem::path& from, const std::filesystem::path& to,
            const std::string& changed, const std::vector<T>& values,
            const std::map<std::string, std::string>& metadata = {}) {
  const SafetensorsFile file(from);
  SafetensorsWriter writer;
  for (const auto& [key, value] : file.metadata())
    if (key != "checksum") writer.set_metadata(key, value);
  for (const auto& [name, entry] : file.entries()) {
    if (name == changed)
      writer.add<T>(name, {static_cast<std::int64_t>(values.size())}, values);
    else if (entry.dtype == "F32")
      writer.add<float>(name, entry.shape, file.values<float>(name));
    else if (entry.dtype == "F64")
      writer.add<double>(name, entry.shape, file.values<double>(name));
    else
      writer.add<std::int64_t>(name, entry.shape, file.values<std::int64_t>(name));
  }
  for (const auto& [key, value] : metadata) writer.set_metadata(key, value);
  writer.write(to);
}

}  // namespace drnas::test_files
