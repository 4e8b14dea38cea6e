// SPDX-License-Identifier: MIT
#include "nas/search/measure_latency.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "engine/files.h"
#include "engine/gpu.h"
#include "engine/stream.h"
#include "kernels/random/philox_fill.h"
#include "nas/run/machine.h"
#include "nas/run/run_resources.h"
#include "nas/search/search_inputs.h"
#include "nas/space/latency_table.h"
#include "nas/step/step_result.h"

namespace drnas {
namespace {

/// Times of `runs` samples; a sample repeats the pass until it takes this long, so that clocks and
/// launches do not count.
constexpr int runs = 15, most_repeats = 1000;
constexpr double sample_ms = 2, warm_up_ms = 50;

/// A pass of one operation, and its times so far.
class Measured {
 public:
  Measured(std::string name, std::unique_ptr<SingleOperation> operation, Device device)
      : name_(std::move(name)), operation_(std::move(operation)), device_(device) {}

  const SingleOperation& operation() const { return *operation_; }
  /// Makes plans, reserves memory, wakes threads up, and finds how often a sample repeats the pass.
  void warm_up(const Variable& input) {
    double once = milliseconds(input);
    for (double sum = once; sum < warm_up_ms; sum += std::max(once, 1e-3))
      once = milliseconds(input);
    repeats_ =
        std::clamp(static_cast<int>(std::ceil(sample_ms / std::max(once, 1e-6))), 1, most_repeats);
  }
  void sample(const Variable& input) { times_.push_back(milliseconds(input)); }

  OperationLatency latency(const OperationShape& shape) {
    std::sort(times_.begin(), times_.end());
    return {name_, shape, times_.at(runs / 2), times_.at(runs / 4), times_.at(3 * runs / 4), runs};
  }

 private:
  double milliseconds(const Variable& input) const {
    synchronize(device_);
    Laps laps;
    for (int i = 0; i < repeats_; ++i) {
      Tape tape(device_, false);
      operation_->run(tape, input);
    }
    synchronize(device_);
    return laps.lap() / repeats_;
  }

  std::string name_;
  std::unique_ptr<SingleOperation> operation_;
  Device device_;
  int repeats_ = 1;
  std::vector<double> times_;
};

Variable random_images(const Tensor& x) {
  dispatch(x.device(), [&]<Device D>() {
    execute([&] {
      kernels::fill_normal<D>(x.data(), x.elements(), 0, 1, 0, kernels::Purpose::synthetic, 0,
                              compute_stream(D));
    });
  });
  return Variable(x, "input");
}

/// Of all operations but `none` at one shape. They take turns, so that what else the machine does
/// for a while meets all of them.
std::vector<OperationLatency> measure(const SearchSpace& space, bool none,
                                      const OperationShape& shape, int images, Device device) {
  const std::vector<std::string> operations = space.operations(none);
  std::vector<Measured> all;
  for (std::size_t column = 0; column < operations.size(); ++column)
    if (auto operation = space.make_operation(static_cast<int>(column), none, shape, device))
      all.emplace_back(operations[column], std::move(operation), device);
  const Variable input = random_images(all.at(0).operation().input(images));
  for (Measured& m : all) m.warm_up(input);
  for (int run = 0; run < runs; ++run)
    for (Measured& m : all) m.sample(input);
  std::vector<OperationLatency> latencies;
  for (Measured& m : all) latencies.push_back(m.latency(shape));
  return latencies;
}

std::string milliseconds_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

std::string line_of(const OperationLatency& o) {
  return o.operation + ", " + std::to_string(o.shape.channels) + " channels, " +
         std::to_string(o.shape.pixels) + " pixels, stride " + std::to_string(o.shape.stride) +
         ": " + milliseconds_text(o.median) + " ms (quartiles " + milliseconds_text(o.lower) +
         " to " + milliseconds_text(o.upper) + ")";
}

/// "cpu, its name" or "cuda, its name".
std::string device_text(Device device) {
  return device == Device::cuda ? "cuda, " + describe_gpu() : "cpu, " + processor();
}

std::set<OperationShape> shapes_of(const SearchSpace& space, const SupernetOptions& network,
                                   int image_size) {
  std::set<OperationShape> shapes;
  for (const std::vector<EdgeShape>& edge : space.edge_shapes(network, image_size))
    for (const EdgeShape& e : edge) shapes.insert(e.shape);
  if (shapes.empty())
    throw Error("--measure-latency: --space " + std::string(space.facts().name) +
                " states no shapes of its operations, expected another space");
  return shapes;
}

}  // namespace

std::string measure_latency(const SearchOptions& o,
                            const std::function<void(const std::string&)>& tell) {
  o.validate();
  std::string note;
  const Device device = choose_device(o.device, note);
  const RunResources resources(device, o.threads, o.memory_limit);
  apply_precision(o, device);
  const SearchSpace& space = search_space(o.space);
  const SupernetOptions network = supernet_options(o, 1);
  LatencyTable table{
      std::string(space.facts().name), device_text(device), o.threads, o.batch_size, {}};
  if (!note.empty()) tell(note);
  for (const OperationShape& shape : shapes_of(space, network, o.image_size))
    for (const OperationLatency& latency :
         measure(space, network.none, shape, o.batch_size, device)) {
      table.operations.push_back(latency);
      tell(line_of(latency));
    }
  write_file_atomically(o.measure_latency, to_json(table));
  return std::to_string(table.operations.size()) + " times of " + table.device + " in " +
         o.measure_latency.string() + ": --cost latency:" + o.measure_latency.string();
}

}  // namespace drnas
