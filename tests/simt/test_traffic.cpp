// SPDX-License-Identifier: MIT
// What small steps ask of memory, kernel by kernel, beside a table of what they asked before: a
// kernel that comes to move more fails. traffic.txt: space, step, kernel, then launches, sectors
// read and written, bytes read and written, wavefronts of shared memory. Written anew by
//   DRNAS_WRITE_TRAFFIC=1 simt_tests --source-file=*/test_traffic.cpp
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "check/meter.h"
#include "executor.h"
#include "nas/method/search_method.h"
#include "nas/space/search_space.h"
#include "nas/step/supernet_trainer.h"
#include "tests/support/random.h"

#ifdef DRNAS_SIMT_CHECK

using namespace drnas;

namespace {

constexpr int columns = 6;
using Row = std::array<std::int64_t, columns>;
using Table = std::map<std::string, Row>;

std::string table_path() { return std::string(DRNAS_REFERENCES) + "/../simt/traffic.txt"; }

Row row_of(const simt::check::KernelCount& c) {
  return {c.launches,   c.read.moved,    c.write.moved,
          c.bytes_read, c.bytes_written, c.shared_read.moved + c.shared_write.moved};
}

using Passes = std::vector<std::pair<const char*, PassSetting>>;

void add_passes(Table& table, const std::string& name, const SupernetOptions& options,
                const Passes& of_name) {
  const auto supernet = make_supernet(options, 1, Device::cuda);
  const auto [edges, operations] = theta_shape(*options.space);
  const auto method = search_methods()[0]->make({edges, operations, 1, Device::cuda});
  SupernetTrainer trainer(*supernet, method->law(), &method->alpha_update(), {.capture = false});
  trainer.set_learning_rate(0.025);
  constexpr int images = 2, size = 8;
  auto rng = test::generator(5);
  const auto pixels = test::normals(rng, images * size * size * 3);
  const DeviceBatch batch(std::vector<float>(pixels.begin(), pixels.end()),
                          std::vector<std::int32_t>{0, 1}, size, Device::cuda);
  for (const auto& [step, pass] : of_name) {
    simt::check::meter().start();
    trainer.run(pass, batch);
    for (const auto& [kernel, count] : simt::check::meter().stop())
      if (count.threads > 0) table[name + " " + step + " " + kernel] = row_of(count);
  }
}

Table counted() {
  const SearchSpace &nb201 = search_space("nas-bench-201"), &darts = search_space("darts");
  const SupernetOptions half{.channels = 16,
                             .cells = 1,
                             .classes = 10,
                             .partial_channels = 4,
                             .raw_outputs = RawOutputs::store,
                             .storage = DType::bf16,
                             .space = &nb201},
      single{.channels = 16,
             .cells = 1,
             .classes = 10,
             .partial_channels = 1,
             .raw_outputs = RawOutputs::store,
             .space = &nb201};
  const Passes steps{{"architecture", passes::architecture}, {"weight", passes::weights}},
      evaluation{{"evaluation", passes::evaluation}};
  Table table;
  add_passes(table, "nb201-bf16-k4", half, steps);
  add_passes(table, "nb201-fp32-k1", single, steps);
  add_passes(table, "darts-k4",
             {.channels = 16, .cells = 3, .classes = 10, .partial_channels = 4, .space = &darts},
             steps);
  add_passes(table, "nb201-bf16-k4", half, evaluation);
  add_passes(table, "nb201-fp32-k1", single, evaluation);
  return table;
}

Table recorded() {
  Table table;
  std::ifstream file(table_path());
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string space, step, kernel;
    words >> space >> step >> kernel;
    for (std::int64_t& value : table[space + " " + step + " " + kernel]) words >> value;
    REQUIRE(words);
  }
  return table;
}

void write(const Table& table) {
  std::ofstream file(table_path());
  for (const auto& [name, row] : table) {
    file << name;
    for (const std::int64_t value : row) file << ' ' << value;
    file << '\n';
  }
}

}  // namespace

TEST_CASE("traffic: no kernel of a step moves more than it did") {
  const Table now = counted();
  for (const std::string& fault : simt::take_faults()) FAIL_CHECK(fault);
  if (std::getenv("DRNAS_WRITE_TRAFFIC") != nullptr) return write(now);
  const Table before = recorded();
  for (const auto& [name, row] : now) {
    CAPTURE(name);
    REQUIRE(before.contains(name));
    for (int i = 0; i < columns; ++i) {
      CAPTURE(i);
      // Another compiler may take scalar accesses apart or together.
      CHECK(row[i] <= before.at(name)[i] + before.at(name)[i] / 50);
    }
  }
  for (const auto& [name, row] : before) {
    CAPTURE(name);
    CHECK(now.contains(name));
  }
}

#endif
