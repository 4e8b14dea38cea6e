// SPDX-License-Identifier: MIT
#include "symbols.h"

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <vector>

extern "C" const std::byte __executable_start;

namespace simt::check {
namespace {

std::string hexadecimal(std::size_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%zx", value);
  return text;
}

/// What addr2line prints for an offset from the program's start: function and line by turns, from
/// the innermost on.
std::vector<std::string> look_up(std::size_t offset) {
  static const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command = "addr2line -Cfi -e '" + program + "' " + hexadecimal(offset);
  std::vector<std::string> lines;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"),
                                                             ::pclose);
  char buffer[4096];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe.get())) {
    lines.emplace_back(buffer);
    while (!lines.back().empty() && lines.back().back() == '\n') lines.back().pop_back();
  }
  return lines;
}

std::string file_name(const std::string& place) {
  return place.substr(place.rfind('/') + 1, place.find(' ') - place.rfind('/') - 1);
}

}  // namespace

std::uint32_t Symbols::offset(const void* address) {
  return static_cast<std::uint32_t>(static_cast<const std::byte*>(address) - &__executable_start);
}

const void* Symbols::address(std::uint32_t offset) { return &__executable_start + offset; }

std::string Symbols::line(const void* site) {
  static auto& known = *new std::map<const void*, std::string>;
  const auto [found, is_new] = known.try_emplace(site);
  if (!is_new) return found->second;
  const std::vector<std::string> lines = look_up(offset(site) - 1);
  found->second = hexadecimal(offset(site));
  for (std::size_t i = 1; i < lines.size(); i += 2) {
    found->second = file_name(lines[i]);
    if (!found->second.starts_with("simt_device.h") && !found->second.starts_with("cuda_vector.h"))
      break;
  }
  return found->second;
}

std::string Symbols::function(const void* address) {
  static auto& known = *new std::map<const void*, std::string>;
  const auto [found, is_new] = known.try_emplace(address);
  if (!is_new) return found->second;
  const std::vector<std::string> lines = look_up(offset(address));
  std::string name = lines.empty() ? hexadecimal(offset(address)) : lines.front();
  // "void drnas::(anonymous namespace)::mix<int, 8>(int)": cut at the first bracket after the name.
  const std::string nameless = "(anonymous namespace)::";
  for (std::size_t at; (at = name.find(nameless)) != std::string::npos;)
    name.erase(at, nameless.size());
  if (const std::size_t end = name.find_first_of("(<"); end != name.npos) name.resize(end);
  name.erase(0, name.find_last_of(": ") + 1);
  if (lines.size() > 1) name.insert(0, lines[1].substr(0, lines[1].rfind('.')) + "::");
  return found->second = name.substr(name.rfind('/') + 1);
}

}  // namespace simt::check
