// SPDX-License-Identifier: MIT
// Published genotypes: how many parameters their networks have (C 36, 20 cells, 10 classes, no
// auxiliary head), against a count that knows nothing of the networks' code.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "nas/space/darts/darts_genotype.h"
#include "nas/space/derived_network.h"

using namespace drnas;

namespace {

constexpr std::int64_t channels = 36, cells = 20, classes = 10;

/// Of one operation with its batch norm, whose two weights a channel pools do not have.
std::int64_t parameters_of(const std::string& op, std::int64_t c, bool halves) {
  const std::int64_t k = op.back() - '0', norm = 2 * c;
  if (op == "skip_connect") return halves ? c * c + norm : 0;
  if (op.starts_with("sep_conv")) return 2 * (k * k * c + c * c + norm);
  if (op.starts_with("dil_conv")) return k * k * c + c * c + norm;
  if (op.starts_with("conv_")) return 2 * k * c * c + norm;
  return 0;
}

std::int64_t parameters_of(const DartsGenotype& genotype) {
  std::int64_t c = channels, before = 3 * c, last = 3 * c, sum = 27 * last + 2 * last;
  for (std::int64_t i = 0; i < cells; ++i) {
    const bool reduction = i == cells / 3 || i == 2 * cells / 3;
    if (reduction) c *= 2;
    sum += (before + last) * c + 4 * c;
    const DartsCellGenotype& cell = reduction ? genotype.reduce : genotype.normal;
    for (const DartsGene& gene : cell.genes)
      sum += parameters_of(gene.op, c, reduction && gene.source < 2);
    before = last;
    last = c * static_cast<std::int64_t>(cell.concat.size());
  }
  return sum + (last + 1) * classes;
}

/// As docs/methods.md states them, beside the published figures.
struct Size {
  const char* name;
  std::int64_t parameters;
};
constexpr Size sizes[] = {
    {"DrNAS_cifar10", 4099294}, {"PC_DARTS_cifar", 3634678},  {"DARTS_V1", 3169414},
    {"DARTS_V2", 3349342},      {"PDARTS", 3433798},          {"SNAS_mild", 2661382},
    {"SNAS_moderate", 2847358}, {"SNAS_aggressive", 2313622}, {"GDAS_V1", 3368782},
    {"SETN", 4619206},          {"ASHA200", 2243206},         {"edarts4", 1938214},
    {"SDARTS_RS_S1", 3405502},  {"SDARTS_RS_S2", 3622150},    {"SDARTS_RS_S3", 4311622},
    {"SDARTS_RS_S4", 4701718},  {"SDARTS_RS", 3606166},       {"SDARTS_ADV_S1", 3377206},
    {"SDARTS_ADV_S2", 4281382}, {"SDARTS_ADV_S3", 4341862},   {"SDARTS_ADV_S4", 4701718},
    {"SDARTS_ADV", 3344806}};

}  // namespace

TEST_CASE("named genotypes: parameters of their networks") {
  for (const Size& size : sizes) {
    INFO(std::string(size.name));
    const Genotype genotype = find_genotype(size.name);
    const DartsGenotype parsed = parse_darts_genotype(genotype.text, "genotype");
    const DerivedOptions options{
        .genotype = genotype, .channels = channels, .layers = cells, .classes = classes};
    CHECK(make_derived_network(options, 1)->cost().parameters == size.parameters);
    CHECK(parameters_of(parsed) == size.parameters);
  }
}

TEST_CASE("named genotypes: each once, and no two are the same cells") {
  std::vector<std::string> names = genotype_names();
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  std::vector<std::string> texts;
  for (const std::string& name : names) texts.push_back(find_genotype(name).text);
  std::sort(texts.begin(), texts.end());
  CHECK(std::adjacent_find(texts.begin(), texts.end()) == texts.end());
}
