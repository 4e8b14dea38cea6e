// SPDX-License-Identifier: MIT
#include "engine/parameters/state_archive.h"

#include <array>
#include <sstream>

#include "engine/parameters/checkpoint.h"
#include "engine/stream.h"

namespace drnas {
namespace {

constexpr const char *format_key = "format", *configuration_key = "configuration";

std::string format_of(const SafetensorsFile& file) {
  const auto found = file.metadata().find(format_key);
  return found == file.metadata().end() ? "" : found->second;
}

/// The file, which must hold a state of the kind.
SafetensorsFile open(const std::filesystem::path& path, const std::string& kind) {
  SafetensorsFile file(path);
  const std::string format = format_of(file);
  for (const char* old : {"drnas-search-1", "drnas-train-1", "drnas-search-2", "drnas-training-2"})
    if (format == old)
      throw Error(path.string() + ": checkpoint format " + format.back() +
                  " of an earlier version, expected format 3; go on with the version that run.json "
                  "names, or start a new run");
  if (format != archive_format(kind))
    throw Error(path.string() + ": not a checkpoint of a " + kind +
                " (expected metadata format = " + archive_format(kind) + ")");
  if (!file.has_checksum()) throw Error(path.string() + ": has lost its checksum, expected one");
  return file;
}

/// The first line of `text` that `other` has not in its place.
std::string other_line(const std::string& text, const std::string& other) {
  std::istringstream lines(text), others(other);
  for (std::string line, beside; std::getline(lines, line);)
    if (!std::getline(others, beside) || line != beside) return line;
  return "nothing more";
}

template <class T>
T single(const SafetensorsFile& file, const std::string& name) {
  const std::vector<T> values = file.values<T>(name);
  if (values.size() != 1)
    throw Error(file.path().string() + ": " + name + " holds " + std::to_string(values.size()) +
                " values, expected 1");
  return values[0];
}

}  // namespace

std::string archive_format(const std::string& kind) { return "drnas-" + kind + "-3"; }

StateArchive::StateArchive(const Identity& identity) {
  writer_.set_metadata(format_key, archive_format(identity.kind));
  writer_.set_metadata(configuration_key, identity.configuration);
}

StateArchive::StateArchive(const std::filesystem::path& path, const Identity& identity)
    : file_(open(path, identity.kind)) {
  const std::string& stored = file_->metadata_at(configuration_key);
  if (stored != identity.configuration)
    throw Error(path.string() + ": belongs to another configuration: it has " +
                other_line(stored, identity.configuration) + ", the run's config.toml " +
                other_line(identity.configuration, stored));
}

void StateArchive::integer(const std::string& name, std::int64_t& value, std::int64_t largest) {
  if (loading()) value = single<std::int64_t>(*file_, name);
  if (value < 0 || value > largest)
    throw Error((loading() ? path().string() : std::string("checkpoint")) + ": " + name + " is " +
                std::to_string(value) + ", expected 0 to " + std::to_string(largest));
  if (!loading()) writer_.add<std::int64_t>(name, {1}, std::array{value});
}

void StateArchive::value(const std::string& name, double& value) {
  if (!loading()) return writer_.add<double>(name, {1}, std::array{value});
  value = single<double>(*file_, name);
}

void StateArchive::list(const std::string& name, std::vector<std::int64_t>& values) {
  if (loading())
    values = file_->values<std::int64_t>(name);
  else
    writer_.add<std::int64_t>(name, {static_cast<std::int64_t>(values.size())}, values);
}

void StateArchive::table(const std::string& name, const Tensor& tensor) {
  if (loading())
    load_table(*file_, name, tensor);
  else
    save_table(writer_, name, tensor);
}

void StateArchive::parameters(const ParameterStore& store) {
  if (loading())
    load_parameters(*file_, store);
  else
    save_parameters(writer_, store);
}

}  // namespace drnas
