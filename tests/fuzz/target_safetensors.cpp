// SPDX-License-Identifier: MIT
#include "engine/safetensors.h"

#include "tests/fuzz/safetensors_parts.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

template <class T>
void copy_values(const SafetensorsFile& file, const std::string& name, SafetensorsWriter& writer) {
  const auto values = file.values<T>(name);
  require(static_cast<std::int64_t>(values.size()) == file.at(name).elements(),
          name + ": another number of values than its shape holds");
  writer.add<T>(name, file.at(name).shape, values);
}

/// False for a type that the writer has not.
bool copy_entry(const SafetensorsFile& file, const std::string& name, const std::string& dtype,
                SafetensorsWriter& writer) {
  if (dtype == "F32") return copy_values<float>(file, name, writer), true;
  if (dtype == "F64") return copy_values<double>(file, name, writer), true;
  if (dtype == "I64") return copy_values<std::int64_t>(file, name, writer), true;
  if (dtype == "U64") return copy_values<std::uint64_t>(file, name, writer), true;
  if (dtype == "I32") return copy_values<std::int32_t>(file, name, writer), true;
  if (dtype == "U32") return copy_values<std::uint32_t>(file, name, writer), true;
  if (dtype == "U8") return copy_values<std::uint8_t>(file, name, writer), true;
  return false;
}

bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

/// What was read is written and read again the same.
void check_copy(const SafetensorsFile& file, const fs::path& place) {
  SafetensorsWriter writer;
  for (const auto& [key, value] : file.metadata()) writer.set_metadata(key, value);
  std::vector<std::string> copied;
  for (const auto& [name, entry] : file.entries())
    if (copy_entry(file, name, entry.dtype, writer)) copied.push_back(name);
  writer.write(place);
  const SafetensorsFile again(place);
  require(again.entries().size() == copied.size(), "a copy has another number of entries");
  for (const std::string& name : copied)
    require(again.at(name).shape == file.at(name).shape &&
                same_bytes(again.at(name).data, file.at(name).data),
            name + ": differs in a copy");
}

bool read(Input input) {
  static const Folder folder;
  const fs::path path = folder.write("file.safetensors", input);
  return accepts([&] {
    const SafetensorsFile file(path);
    check_copy(file, folder.path() / "copy.safetensors");
  });
}

}  // namespace

DRNAS_FUZZ_TARGET(safetensors, read, change_safetensors)
