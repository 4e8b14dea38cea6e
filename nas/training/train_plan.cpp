// SPDX-License-Identifier: MIT
#include <nlohmann/json.hpp>

#include "engine/gpu.h"
#include "nas/options/image_options.h"
#include "nas/run/run_folder.h"
#include "nas/run/run_loop.h"
#include "nas/run/run_resources.h"
#include "nas/space/search_space.h"
#include "nas/training/train.h"
#include "nas/training/train_inputs.h"

namespace drnas {
namespace {

/// 4,099,294.
std::string grouped(std::int64_t value) {
  std::string text = std::to_string(value);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::string cost_text(const NetworkCost& cost) {
  std::string text = grouped(cost.parameters) + " parameters";
  if (cost.parameters_with_auxiliary != cost.parameters)
    text += " (" + grouped(cost.parameters_with_auxiliary) + " with the auxiliary head)";
  return text + ", " + grouped(cost.multiply_adds) + " multiply-adds an image";
}

}  // namespace

std::string to_json(const TrainEpoch& record) {
  nlohmann::ordered_json by_tag = nlohmann::ordered_json::object();
  for (const auto& [tag, bytes] : record.peak_bytes_by_tag) by_tag[tag] = bytes;
  const nlohmann::ordered_json json = {
      {"epoch", record.epoch},
      {"learning_rate", record.learning_rate},
      {"drop_path", record.drop_path},
      {"train_loss", record.train_loss},
      {"train_top1", record.train_top1},
      {"test_loss", record.test_loss},
      {"test_top1", record.test_top1},
      {"test_top5", record.test_top5},
      {"step_ms", record.step_ms},
      {"images_per_second", record.images_per_second},
      {"peak_bytes", {{"total", record.peak_bytes}, {"by_tag", by_tag}}},
      {"pinned_bytes", record.pinned_bytes}};
  return json.dump();
}

std::string plan_training_run(const TrainOptions& options) {
  options.validate();
  std::string note;
  const Device device = choose_device(options.device, note);
  apply_precision(options, device);
  const RunResources resources(device, options.threads, options.memory_limit);
  const TrainInputs inputs(options, false);
  RunFolder::check(options);
  const TrainMemory memory = inputs.plan(options, device);
  const auto batches = [&](std::size_t images) {
    return std::to_string((images + options.batch_size - 1) / options.batch_size);
  };
  return options.to_toml() + "# data: " + inputs.dataset.name + ", " +
         std::to_string(inputs.train.size()) + " training images, " +
         std::to_string(inputs.test.size()) + " test images, " + std::to_string(inputs.classes()) +
         " classes\n# network: " + cost_text(memory.plan.cost) + "\n# tensors: at the peak " +
         peak_text(peak_of(memory.plan.memory)) +
         (memory.note().empty() ? "" : "\n# note: " + memory.note()) +
         "\n# each epoch: " + batches(inputs.train.size()) + " steps, " +
         batches(inputs.test.size()) + " test batches\n# would write to " + options.out.string() +
         "\n";
}

std::string describe_training(const TrainOptions& options) {
  options.validate();
  std::string note;
  const Device device = choose_device(options.device, note);
  apply_precision(options, device);
  const RunResources resources(device, options.threads, options.memory_limit);
  const int classes = classes_before_reading(options);
  const TrainingPlan plan = plan_training(options, classes, device);
  std::string text = "genotype    " + options.genotype + "\nnetwork     C " +
                     std::to_string(options.channels) + ", " + std::to_string(options.cells) + " " +
                     std::string(find_genotype(options.genotype).space->facts().cells) + ", " +
                     std::to_string(classes) + " classes, images of " +
                     std::to_string(options.image_size) + " pixels\nparameters  " +
                     grouped(plan.cost.parameters) + "\n";
  if (plan.cost.parameters_with_auxiliary != plan.cost.parameters)
    text += "            " + grouped(plan.cost.parameters_with_auxiliary) +
            " with the auxiliary head, which only training uses\n";
  return text + "operations  " + grouped(plan.cost.multiply_adds) +
         " multiply-adds for an image\nmemory      at the peak " + peak_text(peak_of(plan.memory)) +
         " (batch " + std::to_string(options.batch_size) + ", float32, " +
         (device == Device::cuda ? "cuda; images on the device come on top" : "cpu") + ")\n";
}

}  // namespace drnas
