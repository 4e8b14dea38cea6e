// SPDX-License-Identifier: MIT
// Times the training step of a derived network on random images.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/machine.h"
#include "engine/captured_step.h"
#include "engine/derived_ops.h"
#include "engine/files.h"
#include "engine/gpu.h"
#include "engine/ops.h"
#include "engine/stream.h"
#include "engine/workspace.h"
#include "kernels/conv2d_plan.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "nas/derived_network.h"
#include "nas/version.h"

namespace {

using namespace drnas;
using nlohmann::ordered_json;

struct Options {
  std::string genotype = "DrNAS_cifar10", json, device_name = "cpu";
  int channels = 36, layers = 20, batch_size = 32, image_size = 0, steps = 9, threads = 0;
  double drop_path = 0.3;
  bool imagenet = false, no_auxiliary = false, no_graph = false;
  Device device = Device::cpu;  ///< what device_name stands for
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Times the training step of a derived network on random images", "bench_train");
  app.add_option("--genotype", o.genotype, "a published name, a genotype or a file")
      ->capture_default_str();
  app.add_flag("--imagenet", o.imagenet, "stem and auxiliary head for 224 pixels");
  app.add_option("--channels", o.channels)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--layers", o.layers, "cells in all; NAS-Bench-201: of a stage")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--image-size", o.image_size, "pixels; 0: 32, with --imagenet 224");
  app.add_option("--drop-path", o.drop_path, "probability")
      ->check(CLI::Range(0.0, 0.99))
      ->capture_default_str();
  app.add_flag("--no-auxiliary", o.no_auxiliary, "no auxiliary head (of weight 0.4)");
  app.add_option("--steps", o.steps, "timed steps")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--threads", o.threads, "0: all cores")->capture_default_str();
  app.add_option("--device", o.device_name, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}))
      ->capture_default_str();
  app.add_flag("--no-graph", o.no_graph, "on CUDA: call every kernel instead of replaying steps");
  app.add_option("--json", o.json, "write all figures to this file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    std::exit(app.exit(help));
  } catch (const CLI::ParseError& failure) {
    throw Error(failure.what());
  }
  if (o.image_size <= 0) o.image_size = o.imagenet ? 224 : 32;
  if (o.threads <= 0) o.threads = omp_get_max_threads();
  std::string note;
  o.device = choose_device(o.device_name, note);
  if (!note.empty()) std::printf("%s\n", note.c_str());
  return o;
}

struct StepTimes {
  double loss = 0;  ///< the main head's
  double forward_ms = 0, backward_ms = 0, optimizer_ms = 0, total_ms = 0;
};

/// Milliseconds since the last call.
class Laps {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
    return ms;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

template <class T>
Tensor scalar(T value, Device device, DType type) {
  const Tensor tensor({1, 1, 1, 1}, MemoryTag::optimizer, device, type);
  upload_scalar(value, tensor);
  return tensor;
}

/// SGD on one resident batch with the published settings: momentum 0.9, weight decay 3e-4,
/// gradients clipped to norm 5, the auxiliary loss at 0.4.
class Training {
 public:
  Training(DerivedNetwork& network, const DeviceBatch& batch, const Options& o)
      : network_(network),
        batch_(batch),
        step_(o.device, !o.no_graph),
        loss_(Tensor::zeros({1, 1, 1, 2}, MemoryTag::optimizer, o.device, DType::f64)),
        norm_(Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, o.device, DType::f64)),
        rate_(scalar(0.025, o.device, DType::f64)),
        factor_(scalar(0.4f, o.device, DType::f32)),
        draw_(scalar(std::uint32_t{0}, o.device, DType::u32)) {
    if (o.drop_path > 0) drop_path_ = scalar(static_cast<float>(o.drop_path), o.device, DType::f32);
  }

  /// Phases of a recorded step are not told apart: they are zero.
  StepTimes step() {
    StepTimes times;
    Laps laps;
    step_.run([&] { work(times); });
    times.loss = LossResult::decode(download<double>(loss_)).loss;
    times.total_ms = laps.lap();
    if (step_.nodes()) times.forward_ms = times.backward_ms = times.optimizer_ms = 0;
    if (!std::isfinite(times.loss)) throw Error("training step: the loss is not finite");
    return times;
  }
  std::size_t launches() const { return step_.nodes(); }

 private:
  void work(StepTimes& times) {
    Laps laps;
    Tape tape(loss_.device());
    const DerivedNetwork::Logits logits =
        network_.forward(tape, Variable(batch_.images, "images"),
                         {.training = true, .drop_path = drop_path_, .step = draw_});
    Variable loss = cross_entropy(tape, "loss", logits.main, batch_.labels, 0.0f, loss_).loss;
    if (!logits.auxiliary.empty()) {
      const Variable second =
          cross_entropy(tape, "auxiliary loss", logits.auxiliary, batch_.labels).loss;
      loss = weighted_sum(tape, "losses", loss, second, factor_);
    }
    times.forward_ms = laps.lap();
    tape.backward(loss, network_.leaves());
    times.backward_ms = laps.lap();
    update();
    times.optimizer_ms = laps.lap();
  }

  void update() {
    const ParameterStore& store = network_.parameters();
    const Tensor &weights = store.weights(), &gradients = store.gradients();
    const kernels::SquaredNorm norm{gradients.elements(), gradients.data(), 0, nullptr,
                                    norm_.data<double>()};
    const kernels::SgdStep sgd{
        weights.elements(), rate_.data<double>(),    norm_.data<double>(), 5.0,    0.9f, 3e-4f,
        weights.data(),     store.velocity().data(), gradients.data(),     nullptr};
    dispatch(store.device(), [&]<Device D>() {
      const Tensor scratch = workspace(D, kernels::squared_norm_workspace<D>(norm));
      execute([&] {
        const kernels::Stream stream = compute_stream(D);
        kernels::squared_norm<D>(norm, scratch.data(), stream);
        kernels::sgd_step<D>(sgd, stream);
        kernels::increment<D>(1, draw_.data<std::uint32_t>(), stream);
      });
    });
  }

  DerivedNetwork& network_;
  const DeviceBatch& batch_;
  CapturedStep step_;
  Tensor loss_, norm_, rate_, factor_, draw_, drop_path_;
};

ordered_json describe(const Options& o) {
  return {{"genotype", o.genotype},
          {"imagenet", o.imagenet},
          {"channels", o.channels},
          {"layers", o.layers},
          {"batch_size", o.batch_size},
          {"image_size", o.image_size},
          {"auxiliary", !o.no_auxiliary},
          {"drop_path", o.drop_path},
          {"steps", o.steps},
          {"threads", o.threads},
          {"device", o.device == Device::cuda ? "cuda" : "cpu"}};
}

DerivedOptions network_options(const Options& o) {
  DerivedOptions options;
  options.genotype = read_genotype(o.genotype);
  options.channels = o.channels;
  options.layers = o.layers;
  options.image_size = o.image_size;
  options.imagenet = o.imagenet;
  options.auxiliary = !o.no_auxiliary;
  return options;
}

void add_rate(ordered_json& report, const Options& o, const NetworkCost& cost) {
  const double forward = 2.0 * static_cast<double>(cost.multiply_adds) * o.batch_size,
               gflop = 3 * forward / 1e9,
               rate = 1e3 * gflop / report["training_step_ms"]["median"].get<double>();
  report["parameters"] = cost.parameters;
  report["gflop"] = gflop;  // forward and both gradients, without the auxiliary head
  report["gflops"] = rate;
  if (o.device == Device::cuda) return;
  report["peak_gflops"] = bench::measured_peak_gflops(o.threads);
  report["share_of_peak"] = rate / report["peak_gflops"].get<double>();
}

ordered_json measure(const Options& o) {
  const bool cuda = o.device == Device::cuda;
  ordered_json report = describe(o);
  if (cuda) report["gpu"] = describe_gpu();
  const DerivedOptions options = network_options(o);
  report["process_start_bytes"] = bench::process_bytes("VmRSS");
  const std::unique_ptr<DerivedNetwork> network = make_derived_network(options, 1, o.device);
  const DeviceBatch batch = bench::random_batch(o.batch_size, o.image_size, o.device);
  Training training(*network, batch, o);
  const int warm_up = cuda ? 4 : 1;
  std::vector<StepTimes> steps;
  for (int s = 0; s < warm_up + o.steps; ++s) {
    const StepTimes times = training.step();
    if (s >= warm_up) steps.push_back(times);
  }
  const MemoryCounters counters = Allocator::of(o.device).counters();
  report["process_peak_bytes"] = bench::process_bytes("VmHWM");
  report["training_step_ms"] = bench::summary(steps);
  report["last_loss"] = steps.back().loss;
  report["peak_bytes"] = bench::memory_of(counters);
  report["reserved_bytes"] = counters.reserved;
  if (cuda) report["launches"] = training.launches();
  add_rate(report, o, network->cost());
  return report;
}

void print(const ordered_json& r) {
  const ordered_json &t = r["training_step_ms"], &phases = t["phases"];
  std::printf(
      "training step: median %.1f ms, %.1f to %.1f; forward %.1f, backward %.1f, optimizer "
      "%.1f; %.1f GFLOP/s\n",
      t["median"].get<double>(), t["min"].get<double>(), t["max"].get<double>(),
      phases["forward"].get<double>(), phases["backward"].get<double>(),
      phases["optimizer"].get<double>(), r["gflops"].get<double>());
  const auto text = [](std::int64_t bytes) { return format_bytes(bytes); };
  std::printf("tensors %s at the peak, process %s above its start\n",
              text(r["peak_bytes"]["total"].get<std::int64_t>()).c_str(),
              text(r["process_peak_bytes"].get<std::int64_t>() -
                   r["process_start_bytes"].get<std::int64_t>())
                  .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    omp_set_num_threads(options.threads);
    ordered_json report = measure(options);
    report["machine"] = {{"processor", bench::processor()}, {"cores", omp_get_num_procs()}};
    report["onednn"] = kernels::onednn_version();
    report["date"] = bench::today();
    report["git_commit"] = git_commit();
    print(report);
    if (!options.json.empty()) write_file_atomically(options.json, report.dump(2) + "\n");
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 2;
  }
}
