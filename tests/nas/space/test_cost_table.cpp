// SPDX-License-Identifier: MIT
// Costs of operations against those of whole networks, the expected cost against its definition and
// differences, tables of latencies and what is wrong with them.
#include "nas/space/cost_table.h"

#include <doctest/doctest.h>

#include <cmath>

#include "nas/space/darts/darts_genotype.h"
#include "nas/space/darts/darts_space.h"
#include "nas/space/latency_table.h"
#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/nb201/nb201_space.h"
#include "tests/support/genotypes.h"
#include "tests/support/option_files.h"
#include "tests/support/random.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;
using test_files::TemporaryFolder;

namespace {

constexpr int image_size = 32;

SupernetOptions sizes(const SearchSpace& space, bool none = false) {
  SupernetOptions o{.channels = 8, .cells = space.facts().least_cells + 2};
  o.partial_channels = 4;  // of no effect: found cells see all channels
  o.space = &space;
  o.none = none;
  return o;
}

NetworkCost cost_of(const SupernetOptions& o, const Genotype& genotype, int side) {
  return make_derived_network({.genotype = genotype,
                               .channels = o.channels,
                               .layers = o.cells,
                               .image_size = side,
                               .imagenet = o.imagenet_stem},
                              1)
      ->cost();
}

/// What `with` costs more than `without`.
void check_difference(const SupernetOptions& o, const Genotype& with, const Genotype& without,
                      int side, double flops, double parameters) {
  const NetworkCost a = cost_of(o, with, side), b = cost_of(o, without, side);
  CHECK(flops == static_cast<double>(a.multiply_adds - b.multiply_adds));
  CHECK(parameters == static_cast<double>(a.parameters - b.parameters));
}

void check_darts(const SupernetOptions& o, int side) {
  const CostTable flops = make_cost_table({CostOption::Kind::flops}, o, side);
  const CostTable parameters = make_cost_table({CostOption::Kind::parameters}, o, side);
  const std::vector<std::string> operations = darts_space().operations(o.none);
  const DartsCellGenotype nothing{std::vector<DartsGene>(8, {"none", 0}), {2, 3, 4, 5}};
  const DartsGenotype without{nothing, nothing};
  for (int row = 0; row < 28; row += 3) {
    int to = 2, from = row % darts_edges;
    while (from >= to) from -= to++;
    for (std::size_t op = 0; op < operations.size(); ++op) {
      CAPTURE(row);
      CAPTURE(op);
      DartsGenotype with = without;
      (row < darts_edges ? with.normal : with.reduce).genes[2 * std::size_t(to) - 4] = {
          operations[op], from};
      check_difference(o, genotype_of(with), genotype_of(without), side, flops.costs.at(row).at(op),
                       parameters.costs.at(row).at(op));
    }
  }
}

/// A table with a time of its own for each operation and shape of the network.
LatencyTable latencies(const SupernetOptions& o) {
  LatencyTable table{std::string(o.space->facts().name), "cpu, made up", 2, 16, {}};
  for (const auto& edge : o.space->edge_shapes(o, image_size))
    for (const EdgeShape& e : edge)
      for (const std::string& operation : o.space->operations(o.none)) {
        const double ms = 0.125 * static_cast<double>(table.operations.size() + 1);
        if (operation != "none" && !table.find(operation, e.shape))
          table.operations.push_back({operation, e.shape, ms, ms / 2, 2 * ms, 9});
      }
  return table;
}

EdgeWeights random_theta(const CostTable& table, std::uint64_t seed) {
  auto rng = generator(seed);
  EdgeWeights theta = table.costs;
  for (auto& row : theta) {
    double sum = 0;
    for (double& value : row) sum += value = std::exp(normals(rng, 1)[0]);
    for (double& value : row) value /= sum;
  }
  return theta;
}

}  // namespace

TEST_CASE("cost table: an operation costs what a NAS-Bench-201 network with it costs more") {
  const SupernetOptions o = sizes(nb201_space());
  const CostTable flops = make_cost_table({CostOption::Kind::flops}, o, image_size);
  const CostTable parameters = make_cost_table({CostOption::Kind::parameters}, o, image_size);
  for (int edge = 0; edge < Nb201Cell::edges; ++edge)
    for (int op = 0; op < Nb201Cell::ops; ++op) {
      CAPTURE(edge);
      CAPTURE(op);
      Nb201Cell with{};
      with.op[static_cast<std::size_t>(edge)] = op;
      check_difference(o, genotype_of(with), genotype_of(Nb201Cell{}), image_size,
                       flops.costs.at(edge).at(op), parameters.costs.at(edge).at(op));
    }
}

TEST_CASE("cost table: the same in the DARTS space, with `none` and with ImageNet's stem") {
  for (const bool none : {false, true}) check_darts(sizes(darts_space(), none), image_size);
  SupernetOptions imagenet = sizes(darts_space());
  imagenet.imagenet_stem = true;
  check_darts(imagenet, 64);
}

TEST_CASE("cost table: of a found cell, all its operations and no others") {
  const SupernetOptions nb201 = sizes(nb201_space());
  const CostTable flops = make_cost_table({CostOption::Kind::flops}, nb201, image_size);
  const Nb201Cell cell{{3, 2, 3, 1, 4, 2}};
  const Architecture found = nb201_space().parse(to_string(cell), "cell");
  CHECK(flops.of(found, nb201_space(), false) ==
        cost_of(nb201, genotype_of(cell), image_size).multiply_adds -
            cost_of(nb201, genotype_of(Nb201Cell{}), image_size).multiply_adds);
  const SupernetOptions darts = sizes(darts_space());
  const CostTable parameters = make_cost_table({CostOption::Kind::parameters}, darts, image_size);
  const Genotype genotype = find_genotype("PC_DARTS_cifar");
  const DartsCellGenotype nothing{std::vector<DartsGene>(8, {"none", 0}), {2, 3, 4, 5}};
  CHECK(parameters.of(darts_space().parse(genotype.text, "cell"), darts_space(), false) ==
        cost_of(darts, genotype, image_size).parameters -
            cost_of(darts, genotype_of(DartsGenotype{nothing, nothing}), image_size).parameters);
}

TEST_CASE("cost table: the expected cost is 1 where all operations are alike, and linear") {
  for (const SearchSpace* space : {&nb201_space(), &darts_space()}) {
    const CostTable table = make_cost_table({CostOption::Kind::flops}, sizes(*space), image_size);
    EdgeWeights alike = table.costs;
    for (auto& row : alike)
      for (double& value : row) value = 1.0 / static_cast<double>(row.size());
    CHECK(table.expected(alike) == doctest::Approx(1).epsilon(1e-14));
    const EdgeWeights theta = random_theta(table, 7);
    const std::vector<double> gradient = table.gradient(0.5);
    double sum = 0;
    std::size_t entry = 0;
    for (std::size_t edge = 0; edge < theta.size(); ++edge)
      for (std::size_t op = 0; op < theta[edge].size(); ++op, ++entry) {
        EdgeWeights above = theta, below = theta;
        const double h = 0.01;
        above[edge][op] += h;
        below[edge][op] -= h;
        const double difference = (table.expected(above) - table.expected(below)) / (2 * h);
        CHECK(gradient.at(entry) == doctest::Approx(0.5 * difference).epsilon(1e-9));
        sum += theta[edge][op] * table.costs[edge][op];
      }
    CHECK(table.expected(theta) * table.mean == doctest::Approx(sum).epsilon(1e-13));
  }
}

TEST_CASE("cost table: latencies come from a file, each cell by its shape") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path / "times.json";
  for (const SearchSpace* space : {&nb201_space(), &darts_space()}) {
    const SupernetOptions o = sizes(*space);
    const LatencyTable written = latencies(o);
    write_file_atomically(file, to_json(written));
    const LatencyTable read = read_latency_table(file);
    CHECK(to_json(read) == to_json(written));
    const CostTable table = make_cost_table(parse_cost("latency:" + file.string()), o, image_size);
    CHECK(table.unit == "ms for a batch of 16");
    const auto shapes = space->edge_shapes(o, image_size);
    const std::vector<std::string> operations = space->operations(false);
    for (std::size_t edge = 0; edge < shapes.size(); ++edge)
      for (std::size_t op = 0; op < operations.size(); ++op) {
        double sum = 0;
        for (const EdgeShape& e : shapes[edge])
          if (operations[op] != "none")
            sum += e.cells * written.find(operations[op], e.shape)->median;
        CHECK(table.costs[edge][op] == doctest::Approx(sum));
      }
  }
}

TEST_CASE("cost table: bad costs are refused by name") {
  CHECK(parse_cost("").kind == CostOption::Kind::none);
  CHECK(parse_cost("latency:a:b").file == "a:b");
  for (const char* text : {"flop", "latency", "latency:", "FLOPS"})
    check_fails([&] { parse_cost(text); }, {"--cost " + std::string(text), "latency:FILE"});
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path / "times.json";
  const SupernetOptions o = sizes(nb201_space());
  const LatencyTable good = latencies(o);
  const auto fails = [&](const std::string& content, std::initializer_list<std::string> parts) {
    write_file_atomically(file, content);
    const CostOption option{CostOption::Kind::latency, file};
    check_fails([&] { make_cost_table(option, o, image_size); }, parts);
    check_fails([&] { make_cost_table(option, o, image_size); }, {file.string()});
  };
  fails("", {"no table of latencies"});
  fails("{}", {"no table of latencies", "format"});
  fails("[1]", {"no table of latencies"});
  fails(std::string(100, '['), {"no table of latencies"});
  LatencyTable other = good;
  other.space = "darts";
  fails(to_json(other), {"is of --space darts", "nas-bench-201", "--measure-latency"});
  other = good;
  other.operations.pop_back();
  const OperationLatency& missing = good.operations.back();
  fails(to_json(other), {"has no " + missing.operation,
                         std::to_string(missing.shape.channels) + " channels", "expected a file"});
  other = good;
  other.operations.push_back(good.operations[0]);
  fails(to_json(other), {"operation " + std::to_string(other.operations.size()), "each once"});
  other = good;
  other.operations[2].median = -1;
  fails(to_json(other), {"operation 3", "median_ms", "at least 0"});
  other = good;
  other.operations[1].shape.pixels = 0;
  fails(to_json(other), {"operation 2", "pixels", "at least 1"});
  std::string text = to_json(good);
  fails(text.replace(text.find("median_ms"), 9, "medium_ms"), {"operation 1", "median_ms"});
  other = good;
  for (OperationLatency& l : other.operations) l.median = l.lower = l.upper = 0;
  write_file_atomically(file, to_json(other));
  check_fails(
      [&] {
        make_cost_table({CostOption::Kind::latency, file}, o, image_size);
      },
      {"all operations cost nothing"});
}
