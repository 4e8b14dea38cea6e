// SPDX-License-Identifier: MIT
// Searches that pay for what operations cost: the gradient that enters, what is found and logged,
// resuming, and the table of times that the program itself measures.
#include <cmath>

#include "engine/gpu.h"
#include "engine/stream.h"
#include "nas/search/measure_latency.h"
#include "nas/search/search_inputs.h"
#include "nas/space/latency_table.h"
#include "tests/nas/search/search_runs.h"
#include "tests/support/random.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;

namespace {

SearchOptions with_cost(const fs::path& out, const std::string& cost, double weight) {
  SearchOptions o = small_search(out);
  o.cost = cost;
  o.cost_weight = weight;
  return o;
}

/// What an architecture step leaves: dL/dtheta, and alpha after it.
std::vector<double> after_step(Device device, const std::string& method,
                               const std::vector<double>& cost, std::vector<double>& alpha) {
  const SearchSpace& space = search_space("nas-bench-201");
  SupernetOptions network{.channels = 4, .cells = 1};
  network.space = &space;
  const auto supernet = make_supernet(network, 3, device);
  const auto [edges, operations] = theta_shape(space);
  const auto chosen = make_method(method, {edges, operations, 3, device});
  TrainerOptions options;
  options.theta_cost = cost;
  Trainer trainer(*supernet, *chosen, options);
  auto rng = generator(11);
  const Doubles pixels = normals(rng, 4 * 16 * 16 * 3);
  const DeviceBatch batch(std::vector<float>(pixels.begin(), pixels.end()),
                          std::vector<std::int32_t>{0, 1, 2, 3}, 16, device);
  trainer.architecture_step(batch);
  alpha = download<double>(chosen->law().alpha().values);
  return download<double>(trainer.theta_gradient());
}

std::vector<double> logged_costs(const fs::path& run) {
  std::vector<double> costs;
  for (const nlohmann::json& epoch : comparable_log(run))
    costs.push_back(epoch.at("expected_cost").get<double>());
  return costs;
}

/// Of convolutions, in which all multiply-adds are.
bool has_convolution(const std::string& genotype) {
  return contains(genotype, "conv_1x1") || contains(genotype, "conv_3x3");
}

}  // namespace

TEST_CASE("cost: the step's gradient is that of the loss plus that of the cost") {
  std::string note;
  const Device device = choose_device(small_search("").device, note);
  const SearchSpace& space = search_space("nas-bench-201");
  SupernetOptions network{.channels = 4, .cells = 1};
  network.space = &space;
  const std::vector<double> cost = make_cost_table(parse_cost("flops"), network, 16).gradient(0.25);
  for (const char* method : {"drnas", "darts"}) {
    CAPTURE(method);
    std::vector<double> free_alpha, paying_alpha;
    const std::vector<double> without = after_step(device, method, {}, free_alpha);
    const std::vector<double> with = after_step(device, method, cost, paying_alpha);
    REQUIRE(with.size() == cost.size());
    for (std::size_t i = 0; i < cost.size(); ++i) CHECK(with[i] == without[i] + cost[i]);
    CHECK(free_alpha != paying_alpha);
  }
}

TEST_CASE("cost: through a softmax its gradient is that of the expected cost by differences") {
  const SearchSpace& space = search_space("darts");
  SupernetOptions network{.channels = 8, .cells = 5};
  network.space = &space;
  const CostTable table = make_cost_table(parse_cost("parameters"), network, 32);
  const auto [edges, operations] = theta_shape(space);
  const auto law = make_softmax_law({edges, operations, 5, Device::cpu});
  const std::vector<double> entries = table.gradient(1);
  const Tensor cost = law->alpha().make_table();
  upload<double>(entries, cost);
  std::vector<double> alpha = download<double>(law->alpha().values);
  auto rng = generator(6);
  for (double& a : alpha) a += normals(rng, 1)[0];
  upload<double>(alpha, law->alpha().values);
  law->sample(0);
  law->backward(cost);
  const std::vector<double> gradient = download<double>(law->alpha_gradient());
  const auto expected = [&](std::size_t entry, double h) {
    std::vector<double> moved = alpha;
    moved[entry] += h;
    upload<double>(moved, law->alpha().values);
    return table.expected(law->mean());
  };
  for (std::size_t entry = 0; entry < alpha.size(); entry += 5) {
    const double difference = (expected(entry, 1e-5) - expected(entry, -1e-5)) / 2e-5;
    CHECK(gradient[entry] == doctest::Approx(difference).epsilon(1e-6));
  }
}

TEST_CASE("cost: a search that pays a lot finds operations that cost nothing") {
  const ScratchFolder scratch;
#ifdef DRNAS_SIMT  // thread by thread: one that mixes and one that draws
  const std::vector<const char*> methods{"drnas", "gdas"};
#else
  const std::vector<const char*> methods{"drnas", "darts",        "darts-2nd", "pc-darts",
                                         "gdas",  "gaea-bilevel", "parsec"};
#endif
  for (const char* method : methods) {
    CAPTURE(method);
    SearchOptions o = with_cost(scratch / method, "flops", 100);
    o.method = method;
    o.alpha_learning_rate = 0.1;
    if (o.method == "gdas") o.schedule_first = 10, o.schedule_last = 0.1;
    const SearchResult result = search(o);
    CHECK_FALSE(has_convolution(result.genotype));
    REQUIRE(result.cost);
    CHECK(result.cost->value == 0);
    CHECK(result.cost->unit == "multiply-adds");
    const std::vector<double> costs = logged_costs(o.out);
    REQUIRE(costs.size() == 3);
    CHECK(costs[0] < 1);
    CHECK(costs[1] <= costs[0]);
    CHECK(costs[2] < 0.7);
  }
}

TEST_CASE("cost: without it nothing is logged, with little of it the search is another") {
  const ScratchFolder scratch;
  const SearchOptions without = small_search(scratch / "without");
  const SearchOptions with = with_cost(scratch / "with", "parameters", 0.1);
  CHECK_FALSE(search(without).cost);
  CHECK(search(with).cost);
  for (const nlohmann::json& epoch : comparable_log(without.out))
    CHECK_FALSE(epoch.contains("expected_cost"));
  CHECK(comparable_log(without.out).back().at("concentrations") !=
        comparable_log(with.out).back().at("concentrations"));
}

TEST_CASE("cost: stopped and resumed, the search ends bit-equal; other costs are refused") {
  const ScratchFolder scratch;
  const fs::path times = scratch / "times.json";
  SearchOptions o = with_cost(scratch / "whole", "latency:" + times.string(), 0.5);
  o.measure_latency = times;
  const std::string said = measure_latency(o, [](const std::string&) {});
  CHECK(contains(said, "12 times"));
  o.measure_latency.clear();
  search(o);
  SearchOptions part = o;
  part.out = scratch / "part";
  CHECK(search(part, Interrupter(5)).interrupted_by_signal == SIGINT);
  part.resume = true;
  // The same times may lie elsewhere; other ones may not.
  const fs::path moved = scratch / "moved.json";
  fs::rename(times, moved);
  LatencyTable other = read_latency_table(moved);
  other.operations[1].median *= 2;
  write_file_atomically(times, to_json(other));
  CHECK(contains(failure_of(part), "belongs to other costs"));
  part.cost = "flops";
  CHECK(contains(failure_of(part), "belongs to other costs"));
  part.cost = "latency:" + moved.string();
  CHECK(search(part).epochs_done == 3);
  CHECK(comparable_log(o.out) == comparable_log(part.out));
  CHECK(read_text_file(o.out / "genotype.txt") == read_text_file(part.out / "genotype.txt"));
  CHECK(read_file(o.out / "checkpoint.safetensors") ==
        read_file(part.out / "checkpoint.safetensors"));
}

TEST_CASE("cost: the program's own times are of every operation at every shape") {
  const ScratchFolder scratch;
  for (const char* space : {"nas-bench-201", "darts"}) {
    CAPTURE(space);
    SearchOptions o = small_search(scratch / "none");
    o.space = space;
    o.cells = 3;
    o.batch_size = 2;
    o.measure_latency = scratch / "times.json";
    int lines = 0;
    measure_latency(o, [&](const std::string&) { ++lines; });
    const LatencyTable table = read_latency_table(o.measure_latency);
    CHECK(lines >= static_cast<int>(table.operations.size()));
    CHECK(table.space == space);
    CHECK(table.images == 2);
    CHECK(table.threads == o.threads);
    const SupernetOptions network = supernet_options(o, 10);
    for (const auto& edge : network.space->edge_shapes(network, o.image_size))
      for (const EdgeShape& e : edge)
        for (const std::string& operation : network.space->operations(false)) {
          const OperationLatency* const found = table.find(operation, e.shape);
          REQUIRE((found != nullptr || operation == "none"));
          if (found == nullptr) continue;
          CHECK(found->median > 0);
          CHECK(found->lower <= found->median);
          CHECK(found->upper >= found->median);
        }
    CHECK_FALSE(fs::exists(o.out));
  }
}

TEST_CASE("cost: options that contradict each other are refused") {
  const ScratchFolder scratch;
  const auto refused = [&](const std::string& cost, double weight, const std::string& part) {
    const std::string failure = failure_of(with_cost(scratch / "bad", cost, weight));
    CHECK_MESSAGE(contains(failure, part), failure);
    CHECK_FALSE(fs::exists(scratch / "bad"));
  };
  refused("flops", 0, "--cost-weight 0: expected more than 0 with --cost flops");
  refused("", 1, "--cost-weight 1: expected 0 without --cost");
  refused("flops", -1, "--cost-weight -1: expected a finite number of at least 0");
  refused("flops", NAN, "--cost-weight nan: expected a finite number of at least 0");
  refused("price", 1, "--cost price: expected flops, parameters or latency:FILE");
  refused("latency:" + (scratch / "missing").string(), 1, "missing");
}
