// SPDX-License-Identifier: MIT
#include "nas/diagnostics/trajectory.h"

#include <algorithm>

#include "engine/stream.h"
#include "nas/space/darts/darts_genotype.h"
#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/nb201/nb201_table.h"
#include "tests/support/option_files.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

const SearchSpace& nb201 = search_space("nas-bench-201");

std::unique_ptr<Law> law_of(const std::string& method, int rows, int columns,
                            const std::function<double(int)>& alpha) {
  Alpha start(rows, columns, 5, Device::cpu);
  auto made = method == "drnas" ? make_dirichlet_law(std::move(start), 5)
                                : make_softmax_law(std::move(start));
  Doubles values;
  for (int i = 0; i < rows * columns; ++i) values.push_back(alpha(i));
  upload<double>(values, made->alpha().values);
  return made;
}

TrajectoryRecord sampled(Law& d, const SearchSpace& space, const AccuracyTable* table, int samples,
                         std::int64_t epoch) {
  return sample_trajectory(d, space, false, space.derive(d.mean(), false), table, samples, epoch);
}

/// Accuracy of cell number i: i / 15624 of 100, of 80, of 60 percent.
AccuracyTable ramp_table(const test_files::TemporaryFolder& folder) {
  std::string text = "architecture,cifar10_test,cifar100_test,imagenet16_120_test\n";
  for (int i = 0; i < Nb201Cell::count; ++i) {
    const double share = static_cast<double>(i) / (Nb201Cell::count - 1);
    text += to_string(Nb201Cell::from_index(i));
    for (const double top : {100.0, 80.0, 60.0}) text += "," + std::to_string(top * share);
    text += "\n";
  }
  write_file_atomically(folder.path / "table.csv", text);
  return read_nb201_table(folder.path / "table.csv");
}

/// The value below which `share` of the sorted values lie, counted out.
double counted(const Doubles& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  for (std::size_t i = 0; i + 1 < sorted.size(); ++i)
    if (place <= static_cast<double>(i + 1))
      return sorted[i] * (static_cast<double>(i + 1) - place) +
             sorted[i + 1] * (place - static_cast<double>(i));
  return sorted.back();
}

}  // namespace

TEST_CASE("trajectory: quartiles") {
  const Quartiles four = quartiles({4, 1, 3, 2});
  CHECK(four.q1 == 1.75);
  CHECK(four.median == 2.5);
  CHECK(four.q3 == 3.25);
  auto rng = generator(75);
  for (const int n : {1, 2, 3, 5, 100}) {
    Doubles values = normals(rng, n);
    const Quartiles q = quartiles(values);
    std::sort(values.begin(), values.end());
    CHECK(q.min == values.front());
    CHECK(q.max == values.back());
    CHECK(q.q1 == doctest::Approx(counted(values, 0.25)).epsilon(1e-12));
    CHECK(q.median == doctest::Approx(counted(values, 0.5)).epsilon(1e-12));
    CHECK(q.q3 == doctest::Approx(counted(values, 0.75)).epsilon(1e-12));
  }
  CHECK_THROWS_AS(quartiles({}), Error);
}

TEST_CASE("trajectory: a sharp distribution gives one cell, a flat one all of them") {
  const test_files::TemporaryFolder folder;
  const AccuracyTable table = ramp_table(folder);
  // Operation (row + 1) % 5 has nearly all of the mass.
  const auto sharp =
      law_of("drnas", 6, 5, [](int i) { return i % 5 == (i / 5 + 1) % 5 ? 1e6 : -20.0; });
  const TrajectoryRecord one = sampled(*sharp, nb201, &table, 50, 3);
  CHECK(one.samples == 50);
  CHECK(one.distinct == 1);
  CHECK(one.agreement == doctest::Approx(1));
  Nb201Cell cell;
  for (int e = 0; e < 6; ++e) cell.op[e] = (e + 1) % 5;
  const TableAccuracy& row = table.at(cell.index());
  const double expected[] = {row.cifar10, row.cifar100, row.imagenet16_120};
  const char* names[] = {"cifar10", "cifar100", "imagenet16_120"};
  for (int i = 0; i < 3; ++i) {
    CHECK(one.accuracy.at(names[i]).min == expected[i]);
    CHECK(one.accuracy.at(names[i]).max == expected[i]);
  }
  // Every cell is as likely as any other: agreement is one in five.
  const int n = 4000;
  const auto flat = law_of("drnas", 6, 5, [](int) { return 0.0; });
  const TrajectoryRecord wide = sampled(*flat, nb201, &table, n, 0);
  CHECK(std::abs(wide.agreement - 0.2) < 5 * std::sqrt(0.2 * 0.8 / (6.0 * n)));
  // Different cells among n draws from 15625.
  const double distinct = 15625 * (1 - std::pow(1 - 1.0 / 15625, n));
  CHECK(std::abs(wide.distinct - distinct) < 5 * std::sqrt(n / 8.0));
  const Quartiles& q = wide.accuracy.at("cifar10");
  const double deviation = 100 * std::sqrt(0.25 / n);
  CHECK(std::abs(q.q1 - 25) < 5 * deviation);
  CHECK(std::abs(q.median - 50) < 5 * deviation);
  CHECK(std::abs(q.q3 - 75) < 5 * deviation);
  CHECK(wide.accuracy.at("cifar100").median == doctest::Approx(0.8 * q.median).epsilon(1e-6));
}

TEST_CASE("trajectory: an epoch's draws are its own, and none is one of the search's") {
  const auto d = law_of("drnas", 6, 5, [](int) { return 0.0; });
  const auto agreement_of = [&](std::int64_t epoch) {
    return sampled(*d, nb201, nullptr, 20, epoch).agreement;
  };
  const auto before = d->sampled(7);
  const double first = agreement_of(4);
  CHECK(agreement_of(4) == first);
  CHECK(agreement_of(5) != first);
  CHECK(d->sampled(7) == before);
  CHECK(sampled(*d, nb201, nullptr, 20, 4).accuracy.empty());
  const auto softmax = law_of("darts", 6, 5, [](int i) { return 0.1 * (i % 5); });
  CHECK(sampled(*softmax, nb201, nullptr, 20, 0).distinct == 1);
}

TEST_CASE("trajectory: the DARTS space, and choices that two architectures share") {
  const auto flat = law_of("drnas", 28, 7, [](int) { return 0.0; });
  const SearchSpace& darts = search_space("darts");
  const TrajectoryRecord r = sampled(*flat, darts, nullptr, 30, 0);
  CHECK(r.distinct == 30);
  CHECK(r.agreement > 0);
  CHECK(r.agreement < 0.4);
  const Architecture a = darts.derive(flat->sampled(1), false);
  CHECK(a.choices.size() == 16);
  CHECK(a.places == 8);
  CHECK(agreement(a, a) == 1);
  const Architecture again = darts.parse(a.genotype, "genotype");
  CHECK(again.choices == a.choices);
  CHECK(again.skips == a.skips);
  const DartsGenotype genotype = parse_darts_genotype(a.genotype, "test");
  CHECK(a.skips == std::count_if(genotype.normal.genes.begin(), genotype.normal.genes.end(),
                                 [](const DartsGene& g) { return g.op == "skip_connect"; }));
  const Architecture c = nb201.parse(
      "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|", "genotype");
  const Architecture b =
      nb201.parse("|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|",
                  "genotype");
  CHECK(c.skips == 2);
  CHECK(b.skips == 3);
  CHECK(c.places == 6);
  CHECK(agreement(c, b) == doctest::Approx(4.0 / 6));
}
