// SPDX-License-Identifier: MIT
#include "engine/gpu.h"
#include "engine/memory/planning.h"
#include "nas/options/image_options.h"
#include "nas/run/run_folder.h"
#include "nas/run/run_resources.h"
#include "nas/search/search.h"
#include "nas/search/search_inputs.h"

namespace drnas {
namespace {

/// Without making the weights, which may be larger than this machine's memory.
std::int64_t parameter_count(const SupernetOptions& network, Device device) {
  const Planning planning(device);
  return make_supernet(network, 0, device)->parameters().count();
}

/// A line for each later stage.
std::string stages_text(const std::vector<StagePlan>& later) {
  std::string text;
  for (const StagePlan& plan : later)
    text += "\n# stage " + std::to_string(plan.stage.number) + ": " +
            (plan.stage.anew ? std::to_string(plan.stage.cells) + " cells from the start, " : "") +
            "K " + std::to_string(plan.stage.partial_channels) + ", " +
            std::to_string(plan.stage.keep_ops) +
            " operations an edge, raw outputs: " + to_string(plan.raw_outputs) + ", at most " +
            format_bytes(plan.peak_bytes) + " at the peak";
  return text;
}

}  // namespace

std::string plan_search(const SearchOptions& options) {
  options.validate();
  std::string note;
  const Device device = choose_device(options.device, note);
  apply_precision(options, device);
  const RunResources resources(device, options.threads, options.memory_limit);
  const SearchInputs inputs(options, false);
  RunFolder::check(options);
  const SearchMemory memory = inputs.plan(options, device);
  const auto batches = [&](std::size_t images) {
    return std::to_string((images + options.batch_size - 1) / options.batch_size);
  };
  return options.to_toml() + "# data: " + inputs.dataset.name + ", " +
         std::to_string(inputs.split.weights.size()) + " images for weights, " +
         std::to_string(inputs.split.architecture.size()) + " for alpha, " +
         std::to_string(inputs.dataset.classes.size()) +
         " classes\n# supernet: " + std::to_string(parameter_count(memory.network, device)) +
         " parameters, raw outputs: " + to_string(memory.network.raw_outputs) +
         "\n# tensors: " + format_bytes(memory.peak_bytes) + " at the peak" +
         stages_text(memory.later) + "\n# images: " + image_text(memory, inputs.dataset.train) +
         "\n# planned peak bytes " +
         std::to_string(planned_bytes(memory, device, inputs.dataset.train)) + " on " +
         (device == Device::cuda ? "cuda" : "cpu") +
         (memory.note().empty() ? "" : "\n# note: " + memory.note()) +
         "\n# each epoch: " + batches(inputs.split.weights.size()) + " search steps, " +
         batches(inputs.split.architecture.size()) + " evaluation batches\n# would write to " +
         options.out.string() + "\n";
}

/// The table is made without data.
constexpr const char* images_come_on_top =
    "training images come on top: on the device, or pinned on the host where --memory-limit leaves "
    "no room (--dry-run says which)\n";

std::string plan_search_memory(const SearchOptions& options) {
  options.validate();
  std::string note;
  MemoryQuestion question;
  question.device = choose_device(options.device, note);
  const RunResources resources(question.device, options.threads, options.memory_limit);
  question.supernet = supernet_options(options, classes_before_reading(options));
  question.supernet.storage = apply_precision(options, question.device).storage;
  question.method = &search_method(options.method);
  question.method_options = method_options(options, question.device);
  question.batch_sizes = {options.batch_size};
  question.image_size = options.image_size;
  std::string text;
  for (const Stage& stage : stages_of(options, theta_shape(question.supernet).operations)) {
    if (stage.number > 1 && !stage.anew) break;
    question.supernet.cells = stage.cells;
    question.supernet.kept = {};
    if (stage.number > 1)
      question.supernet.kept = heaviest_operations(question.supernet, stage.keep_ops);
    question.trainer = trainer_options(options, stage);
    text += (stage.anew ? "stage " + std::to_string(stage.number) + ": " : "") + "C " +
            std::to_string(options.channels) + ", N " + std::to_string(stage.cells) + ", " +
            (stage.anew ? std::to_string(stage.keep_ops) + " operations an edge, " : "") +
            std::to_string(question.supernet.classes) + " classes, batch " +
            std::to_string(options.batch_size) + ", " +
            (question.supernet.storage == DType::bf16 ? "bfloat16" : "float32") + ", device " +
            (question.device == Device::cuda ? "cuda" : "cpu") + "\n" + memory_table(question);
  }
  return text + (question.device == Device::cuda ? images_come_on_top : "");
}

}  // namespace drnas
