// SPDX-License-Identifier: MIT
#include "nas/search_inputs.h"

#include <algorithm>

#include "kernels/conv2d.h"

namespace drnas {
namespace {

DatasetOptions dataset_options(const SearchOptions& o, bool write_cache) {
  DatasetOptions d;
  d.name = o.dataset;
  d.folder = o.data;
  d.cache = o.cache;
  d.image_size = o.image_size;
  d.seed = o.seed;
  d.write_cache = write_cache;
  return d;
}

/// Sizes of the batches that `images` make.
std::vector<int> batch_sizes(std::size_t images, int batch_size) {
  const int tail = static_cast<int>(images % static_cast<std::size_t>(batch_size));
  std::vector<int> sizes;
  if (images >= static_cast<std::size_t>(batch_size)) sizes.push_back(batch_size);
  if (tail) sizes.push_back(tail);
  return sizes;
}

}  // namespace

TrainerOptions trainer_options(const SearchOptions& o) {
  TrainerOptions t;
  t.momentum = static_cast<float>(o.momentum);
  t.weight_decay = static_cast<float>(o.weight_decay);
  t.grad_clip = o.grad_clip;
  t.alpha_learning_rate = o.alpha_learning_rate;
  t.alpha_beta1 = o.alpha_beta1;
  t.alpha_beta2 = o.alpha_beta2;
  t.l2 = o.regulariser == "l2" ? o.lambda : 0.0;
  t.kl = o.regulariser == "kl" ? o.lambda : 0.0;
  t.capture = !o.no_graph;
  return t;
}

LoaderOptions train_loader_options(const SearchOptions& o) {
  LoaderOptions l;
  l.batch_size = o.batch_size;
  l.cutout = o.cutout;
  l.seed = o.seed;
  return l;
}

LoaderOptions alpha_loader_options(const SearchOptions& o) {
  LoaderOptions l = train_loader_options(o);
  l.replacement = true;
  return l;
}

LoaderOptions evaluation_loader_options(const SearchOptions& o) {
  LoaderOptions l = train_loader_options(o);
  l.shuffle = false;
  l.seed = ~o.seed;
  return l;
}

Precision choose_precision(const std::string& name, Device device, int channels) {
  const bool gpu = device == Device::cuda;
  if (!gpu && (name == "tf32" || name == "bf16"))
    throw Error("--precision " + name + ": needs --device cuda, expected fp32 or auto on the CPU");
  const bool half = name == "bf16" || (name == "auto" && gpu && channels % 8 == 0);
  return {half ? DType::bf16 : DType::f32, name == "tf32"};
}

Precision apply_precision(const SearchOptions& o, Device device) {
  const Precision precision = choose_precision(o.precision, device, o.channels);
  kernels::set_conv_math(precision.tf32 ? kernels::ConvMath::tf32 : kernels::ConvMath::fp32);
  return precision;
}

SearchInputs::SearchInputs(const SearchOptions& o, bool write_cache) {
  if (!o.nb201_table.empty()) table.emplace(o.nb201_table);
  dataset = read_dataset(dataset_options(o, write_cache));
  split = split_for_search(dataset, o.limit_train);
}

MemoryQuestion SearchInputs::memory_question(const SearchOptions& o, Device device,
                                             bool resident) const {
  MemoryQuestion q;
  q.supernet = {o.channels, o.cells, static_cast<int>(dataset.classes.size()), o.partial_channels};
  q.supernet.storage = choose_precision(o.precision, device, o.channels).storage;
  q.method = o.method;
  q.batch_sizes = batch_sizes(split.weights.size(), o.batch_size);
  for (const int size : batch_sizes(split.architecture.size(), o.batch_size))
    if (std::find(q.batch_sizes.begin(), q.batch_sizes.end(), size) == q.batch_sizes.end())
      q.batch_sizes.push_back(size);
  q.image_size = dataset.train.size;
  q.device = device;
  q.trainer = trainer_options(o);
  if (resident) q.sources = [this, o, device] { return batch_sources(o, device, true); };
  return q;
}

BatchSources SearchInputs::batch_sources(const SearchOptions& o, Device device,
                                         bool resident) const {
  std::function<std::unique_ptr<BatchSource>(const std::vector<std::int32_t>&,
                                             const LoaderOptions&)>
      make;
  if (resident) {
    const auto images = std::make_shared<const ResidentImages>(dataset.train, device);
    make = [this, images](const auto& indices, const LoaderOptions& options) {
      return std::make_unique<ResidentBatches>(BatchMaker(dataset.train, indices, dataset, options),
                                               images);
    };
  } else {
    const auto memory = std::make_shared<HostBatches::Memory>();
    make = [this, memory, device](const auto& indices, const LoaderOptions& options) {
      return std::make_unique<HostBatches>(
          std::make_unique<Loader>(dataset.train, indices, dataset, options), memory, device);
    };
  }
  return {make(split.weights, train_loader_options(o)),
          make(split.architecture, alpha_loader_options(o)),
          make(split.architecture, evaluation_loader_options(o))};
}

SearchMemory SearchInputs::plan(const SearchOptions& o, Device device) const {
  const auto plan_with = [&](bool resident) -> SearchMemory {
    MemoryQuestion question = memory_question(o, device, resident);
    question.supernet.raw_outputs = choose_raw_outputs(o.raw_outputs, question, o.memory_limit);
    return {question.supernet, resident, plan_memory(question).peak};
  };
  if (device == Device::cpu) return plan_with(false);
  try {
    return plan_with(true);
  } catch (const Error&) {
    return plan_with(false);
  }
}

}  // namespace drnas
