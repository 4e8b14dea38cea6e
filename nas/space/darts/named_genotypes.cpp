// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <system_error>

#include "engine/files.h"
#include "kernels/core/error.h"
#include "nas/space/darts/darts_genotype.h"

namespace drnas {
namespace {

namespace fs = std::filesystem;

struct NamedGenotype {
  std::string_view name, text;
  bool imagenet = false;  // published for a network with the ImageNet stem
};

/// As published with DrNAS (Chen et al., ICLR 2021), PC-DARTS (Xu et al., ICLR 2020) and DARTS (Liu
/// et al., ICLR 2019), which also states the cells of NASNet and AmoebaNet in this form.
constexpr std::array<NamedGenotype, 8> published{{
    {"DrNAS_cifar10",
     "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 1), "
     "('sep_conv_3x3', 2), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2), "
     "('dil_conv_5x5', 3)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
     "('sep_conv_5x5', 1), ('dil_conv_5x5', 2), ('sep_conv_5x5', 1), ('sep_conv_5x5', 1), "
     "('dil_conv_5x5', 3), ('skip_connect', 4), ('sep_conv_5x5', 1)], reduce_concat=range(2, 6))"},
    {"DrNAS_imagenet",
     "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 0), "
     "('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('dil_conv_3x3', 3), ('skip_connect', 0), "
     "('sep_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
     "('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2), ('sep_conv_3x3', 0), "
     "('sep_conv_3x3', 2), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1)], reduce_concat=range(2, 6))",
     true},
    {"PC_DARTS_cifar",
     "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "
     "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
     "('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), "
     "('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
     "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"},
    {"PC_DARTS_image",
     "Genotype(normal=[('skip_connect', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 0), "
     "('skip_connect', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), "
     "('dil_conv_5x5', 4)], normal_concat=range(2, 6), reduce=[('sep_conv_3x3', 0), "
     "('skip_connect', 1), ('dil_conv_5x5', 2), ('max_pool_3x3', 1), ('sep_conv_3x3', 2), "
     "('sep_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 3)], reduce_concat=range(2, 6))",
     true},
    {"DARTS_V1",
     "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
     "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
     "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
     "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
     "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"},
    {"DARTS_V2",
     "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
     "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
     "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
     "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
     "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"},
    {"NASNet",
     "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), "
     "('sep_conv_3x3', 0), ('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), "
     "('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 1)], "
     "normal_concat=[2, 3, 4, 5, 6], reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), "
     "('max_pool_3x3', 1), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), "
     "('skip_connect', 3), ('avg_pool_3x3', 2), ('sep_conv_3x3', 2), ('max_pool_3x3', 1)], "
     "reduce_concat=[4, 5, 6])"},
    {"AmoebaNet",
     "Genotype(normal=[('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), "
     "('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), "
     "('skip_connect', 1), ('skip_connect', 0), ('avg_pool_3x3', 1)], normal_concat=[4, 5, 6], "
     "reduce=[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2), "
     "('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), "
     "('conv_7x1_1x7', 0), ('sep_conv_3x3', 5)], reduce_concat=[3, 4, 6])"},
}};

constexpr std::string_view forms =
    "|op~0|+|op~0|op~1|+..., Genotype(normal=[...], ...) or {\"normal\": [...], ...}";

std::string one_line(std::string text) {
  for (char& c : text) {
    if (std::iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return text;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t first = text.find_first_not_of(space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// Not whether it is a valid genotype, only whether it is meant to be one.
bool is_genotype_text(std::string_view text) {
  if (text.starts_with("|") || text.starts_with("{")) return true;
  constexpr std::string_view word = "Genotype";
  return text.starts_with(word) && trimmed(text.substr(word.size())).starts_with("(");
}

AnyGenotype parse_any(std::string_view text, const std::string& what) {
  if (!text.starts_with("|")) return parse_darts_genotype(text, what);
  try {
    return parse_nb201(text);
  } catch (const Error& error) {
    throw Error(what + ": " + error.what());
  }
}

AnyGenotype read_genotype_file(const fs::path& path) {
  constexpr std::uintmax_t most_bytes = 65536;
  std::error_code unknown_size;
  const std::uintmax_t bytes = fs::file_size(path, unknown_size);
  if (!unknown_size && bytes > most_bytes) {
    throw Error(path.string() + ": " + std::to_string(bytes) +
                " bytes, expected a genotype of at most " + std::to_string(most_bytes));
  }
  const std::string content = read_text_file(path);
  const std::string_view text = trimmed(content);
  if (!is_genotype_text(text)) {
    throw Error(path.string() + ": holds no genotype, expected " + std::string(forms));
  }
  return parse_any(text, path.string());
}

[[noreturn]] void fail_to_find(const std::string& argument, bool directory) {
  std::string names;
  for (const NamedGenotype& known : published) names += std::string(known.name) + ", ";
  throw Error("genotype '" + argument + "': no known name, no genotype itself and " +
              (directory ? "a directory instead of a file" : "no file") + ", expected one of " +
              names + "a genotype (" + std::string(forms) + ") or a file that holds one");
}

AnyGenotype find_genotype(const std::string& argument) {
  const std::string_view text = trimmed(argument);
  if (std::optional<DartsGenotype> named = named_genotype(text)) return *std::move(named);
  if (is_genotype_text(text)) return parse_any(text, "genotype");
  std::error_code ignored;
  const fs::file_status status = fs::status(argument, ignored);
  if (!fs::exists(status) || fs::is_directory(status)) {
    fail_to_find(argument, fs::is_directory(status));
  }
  return read_genotype_file(argument);
}

}  // namespace

std::optional<DartsGenotype> named_genotype(std::string_view name) {
  for (const NamedGenotype& known : published) {
    if (known.name == name) return parse_darts_genotype(known.text, std::string(name));
  }
  return std::nullopt;
}

bool is_imagenet_genotype(std::string_view name) {
  return std::any_of(published.begin(), published.end(), [&](const NamedGenotype& known) {
    return known.name == name && known.imagenet;
  });
}

std::vector<std::string> genotype_names() {
  std::vector<std::string> names;
  for (const NamedGenotype& known : published) names.emplace_back(known.name);
  return names;
}

AnyGenotype read_genotype(const std::string& argument) {
  try {
    return find_genotype(argument);
  } catch (const Error& error) {
    throw Error(one_line(error.what()));  // arguments and files may hold line breaks
  }
}

}  // namespace drnas
