// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "nas/search/memory_plan.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"

namespace drnas::bench {

/// The network whose steps a bench runs.
struct NetworkOptions {
  static constexpr const char* imagenet_name = "darts-imagenet";
  std::string space = "nas-bench-201", raw_outputs = "auto", precision = "auto", conv = "auto";
  int channels = 16, cells = 5, batch_size = 64, partial_channels = 1, image_size = 0;

  bool with_imagenet_stem() const { return space == imagenet_name; }
  const SearchSpace& search_space() const {
    return drnas::search_space(with_imagenet_stem() ? "darts" : space);
  }
  int pixels() const {
    if (image_size > 0) return image_size;
    return with_imagenet_stem() ? 224 : 32;
  }
};

inline void add_network_options(CLI::App& app, NetworkOptions& o) {
  // The spaces, and the DARTS space with the ImageNet stem.
  std::vector<std::string> names{NetworkOptions::imagenet_name};
  for (const SearchSpace* space : search_spaces()) names.emplace_back(space->facts().name);
  app.add_option("--space", o.space)->check(CLI::IsMember(names))->capture_default_str();
  app.add_option("--channels", o.channels)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--cells", o.cells, "of a section; in the DARTS space in all")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--partial-channels", o.partial_channels)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--image-size", o.image_size, "pixels; 0: 32, with the ImageNet stem 224");
  app.add_option("--precision", o.precision,
                 "fp32, tf32, bf16 or auto: on CUDA bf16 in NAS-Bench-201, tf32 in the DARTS space")
      ->check(CLI::IsMember({"auto", "fp32", "tf32", "bf16"}));
  app.add_option("--conv", o.conv, "whose convolutions run on CUDA: own, cudnn or auto")
      ->check(CLI::IsMember({"auto", "own", "cudnn"}))
      ->capture_default_str();
  app.add_option("--raw-outputs", o.raw_outputs, "store, rebuild-1x1, rebuild or auto")
      ->check(CLI::IsMember({"auto", "store", "rebuild-1x1", "rebuild"}))
      ->capture_default_str();
}

inline Precision precision_of(const NetworkOptions& o, Device device) {
  return choose_precision(o.search_space().facts(), o.precision, device, o.channels);
}

/// "bf16", "tf32" or "fp32".
inline const char* precision_name(const NetworkOptions& o, Device device) {
  const Precision precision = precision_of(o, device);
  if (precision.storage == DType::bf16) return "bf16";
  return precision.tf32 ? "tf32" : "fp32";
}

/// The network and its steps on the device, whose convolutions compute in its precision from now
/// on.
inline MemoryQuestion question_of(const NetworkOptions& o, Device device) {
  const Precision precision = precision_of(o, device);
  set_convolutions(precision, o.conv, device);
  MemoryQuestion question;
  question.supernet = {.channels = o.channels,
                       .cells = o.cells,
                       .classes = 10,
                       .partial_channels = o.partial_channels,
                       .space = &o.search_space(),
                       .imagenet_stem = o.with_imagenet_stem()};
  question.image_size = o.pixels();
  question.supernet.storage = precision.storage;
  question.batch_sizes = {o.batch_size};
  question.device = device;
  question.trainer.clip_with_alpha = o.search_space().facts().clips_with_alpha;  // as published
  question.supernet.raw_outputs = choose_raw_outputs(o.raw_outputs, question, 0);
  return question;
}

/// Asks for a method, with its defaults in the space.
inline void use_method(MemoryQuestion& question, const MethodInfo& method) {
  const std::string space(question.supernet.space->facts().name);
  const SearchOptions options = resolve_options(
      {}, {{"method", std::string(method.name), "--method"}, {"space", space, "--space"}});
  question.supernet.edge_weights = method.edge_weights;
  question.method = &method;
  question.method_options = method_options(options, question.device);
}

/// Always the same batch.
class OneBatch final : public BatchSource {
 public:
  explicit OneBatch(const DeviceBatch& batch) : batch_(batch) {}
  std::int64_t batches() const override { return 1; }
  const DeviceBatch& next() override { return batch_; }
  const DeviceBatch& again() override { return batch_; }
  void seek(std::int64_t) override {}

 private:
  const DeviceBatch& batch_;
};

}  // namespace drnas::bench
