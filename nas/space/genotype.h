// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace drnas {

class SearchSpace;

/// An architecture of a search space, written in the space's published form.
struct Genotype {
  const SearchSpace* space = nullptr;
  std::string text;
};

/// A genotype that has a name.
struct NamedGenotype {
  std::string_view name, text;
  bool imagenet = false;  ///< published for the network with the ImageNet stem
};

/// The genotype that a user means: a published name, a genotype itself in any form that the field
/// uses, or a file that holds one; tried in this order. Throws Error of one line that says what was
/// tried and lists the names.
Genotype find_genotype(const std::string& argument);

/// Published for ImageNet's network: its stem, sizes and training are meant. False for anything but
/// such a name.
bool is_imagenet_genotype(const std::string& argument);
/// Of all spaces.
std::vector<std::string> genotype_names();

}  // namespace drnas
