// SPDX-License-Identifier: MIT
#include "nas/space/genotype.h"

#include <filesystem>
#include <optional>
#include <system_error>

#include "engine/files.h"
#include "kernels/core/error.h"
#include "nas/space/search_space.h"

namespace drnas {
namespace {

namespace fs = std::filesystem;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t first = text.find_first_not_of(space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// "|op~0|+..., Genotype(...)": what genotypes look like.
std::string forms() {
  std::string text;
  for (const SearchSpace* space : search_spaces())
    text += (text.empty() ? "" : ", ") + std::string(space->genotype_form());
  return text;
}

/// Calls `use(space, named)` for every named genotype until it returns true.
template <class Use>
bool any_named(const Use& use) {
  for (const SearchSpace* space : search_spaces())
    for (const NamedGenotype& named : space->named_genotypes())
      if (use(*space, named)) return true;
  return false;
}

Genotype parse_as(const SearchSpace& space, std::string_view text, const std::string& what) {
  return {&space, space.parse(text, what).genotype};
}

/// Nothing where the text looks like no space's genotype.
std::optional<Genotype> parse_any(std::string_view text, const std::string& what) {
  for (const SearchSpace* space : search_spaces())
    if (space->recognises(text)) return parse_as(*space, text, what);
  return {};
}

Genotype read_genotype_file(const fs::path& path) {
  constexpr std::uintmax_t most_bytes = 65536;
  std::error_code unknown_size;
  const std::uintmax_t bytes = fs::file_size(path, unknown_size);
  if (!unknown_size && bytes > most_bytes) {
    throw Error(path.string() + ": " + std::to_string(bytes) +
                " bytes, expected a genotype of at most " + std::to_string(most_bytes));
  }
  const std::string content = read_text_file(path);
  if (auto found = parse_any(trimmed(content), path.string())) return *std::move(found);
  throw Error(path.string() + ": holds no genotype, expected " + forms());
}

[[noreturn]] void fail_to_find(const std::string& argument, bool directory) {
  std::string names;
  for (const std::string& name : genotype_names()) names += name + ", ";
  throw Error("genotype '" + argument +
              "': " + (directory ? "is a directory" : "is none, and no such file is there") +
              ", expected one of " + names + "a genotype (" + forms() +
              ") or a file that holds one");
}

}  // namespace

Genotype find_genotype(const std::string& argument) {
  const std::string_view text = trimmed(argument);
  Genotype found;
  if (any_named([&](const SearchSpace& space, const NamedGenotype& named) {
        if (named.name == text) found = parse_as(space, named.text, std::string(named.name));
        return named.name == text;
      }))
    return found;
  if (auto parsed = parse_any(text, "genotype")) return *std::move(parsed);
  std::error_code ignored;
  const fs::file_status status = fs::status(argument, ignored);
  if (!fs::exists(status) || fs::is_directory(status)) {
    fail_to_find(argument, fs::is_directory(status));
  }
  return read_genotype_file(argument);
}

bool is_imagenet_genotype(const std::string& argument) {
  const std::string_view text = trimmed(argument);
  return any_named([&](const SearchSpace&, const NamedGenotype& named) {
    return named.name == text && named.imagenet;
  });
}

std::vector<std::string> genotype_names() {
  std::vector<std::string> names;
  any_named([&](const SearchSpace&, const NamedGenotype& named) {
    names.emplace_back(named.name);
    return false;
  });
  return names;
}

}  // namespace drnas
