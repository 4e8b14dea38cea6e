// SPDX-License-Identifier: MIT
#include "nas/search/search_inputs.h"

#include <algorithm>

#include "data/nats_splits.h"
#include "engine/files.h"
#include "nas/options/hessian_option.h"
#include "nas/options/image_options.h"
#include "nas/search/selection_run.h"
#include "nas/space/search_space.h"

namespace drnas {
namespace {

std::vector<Stage> stages(const SearchOptions& o) {
  return stages_of(o, theta_shape(search_space(o.space), o.none_op).operations);
}

/// Sizes of the batches that both halves make.
std::vector<int> batch_sizes(const SearchSplit& split, int batch_size) {
  std::vector<int> sizes;
  const auto add = [&](std::size_t size) {
    const int wanted = static_cast<int>(size);
    if (wanted > 0 && std::find(sizes.begin(), sizes.end(), wanted) == sizes.end())
      sizes.push_back(wanted);
  };
  for (const auto* half : {&split.weights, &split.architecture}) {
    const auto whole = static_cast<std::size_t>(batch_size);
    if (half->size() >= whole) add(whole);
    add(half->size() % whole);
  }
  return sizes;
}

}  // namespace

TrainerOptions trainer_options(const SearchOptions& o) {
  TrainerOptions t;
  t.momentum = static_cast<float>(o.momentum);
  t.weight_decay = static_cast<float>(o.weight_decay);
  t.grad_clip = o.grad_clip;
  // Some published code clips the gradients of all that the loss depends on.
  t.clip_with_alpha = search_space(o.space).facts().clips_with_alpha && o.recipe == "published";
  t.capture = !o.no_graph;
  t.nesterov = o.nesterov;
  return t;
}

TrainerOptions trainer_options(const SearchOptions& o, const Stage& stage) {
  TrainerOptions t = trainer_options(o);
  if (stage.skip_dropout > 0) t.skip_dropout_seed = o.seed;
  return t;
}

MethodOptions method_options(const SearchOptions& o, Device device) {
  const auto [edges, operations] = theta_shape(search_space(o.space), o.none_op);
  MethodOptions m{edges, operations, o.seed, device};
  m.adam.learning_rate = o.alpha_learning_rate;
  m.adam.beta1 = o.alpha_beta1;
  m.adam.beta2 = o.alpha_beta2;
  m.adam.l2 = o.regulariser == "l2" ? o.lambda : 0.0;
  m.adam.kl = o.regulariser == "kl" ? o.lambda : 0.0;
  m.adam.grad_clip = o.alpha_grad_clip;
  m.ranking = o.recipe == "published" ? Ranking::softmax : Ranking::mean;
  m.one_batch = o.one_batch;
  m.weights_first = o.order == "weights-first";
  m.evaluation_norm = evaluation_norm(o);
  m.epochs = o.epochs;
  m.schedule_first = o.schedule_first;
  m.schedule_last = o.schedule_last;
  m.penalty = o.regulariser == "group" ? o.lambda : 0.0;
  m.node_of_edge = node_of_edge(search_space(o.space));
  if (o.max_skips < o.any_skips) m.max_skips = o.max_skips;
  return m;
}

PassNorm evaluation_norm(const SearchOptions& o) {
  return o.evaluation_norm == "batch" ? PassNorm::batch_only : PassNorm::running;
}

EvidenceOptions evidence_options(const SearchOptions& o) {
  return {o.trajectory, parse_hessian(o.hessian), parse_alarms(o.stop_on)};
}

LoaderOptions train_loader_options(const SearchOptions& o) {
  LoaderOptions l;
  l.batch_size = o.batch_size;
  l.cutout = o.cutout;
  l.colour_jitter = o.colour_jitter;
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
  l.augment = o.augment != "resized-crop";
  l.seed = ~o.seed;
  return l;
}

Precision choose_precision(const SpaceFacts& space, const std::string& name, Device device,
                           int channels) {
  if (space.half_storage) return choose_precision(name, device, channels);
  if (name == "bf16")
    throw Error("--precision bf16: the " + std::string(space.title) +
                " stores float32, expected fp32, tf32 or auto");
  return choose_precision(name == "auto" && device == Device::cuda ? "tf32" : name, device,
                          channels);
}

Precision choose_precision(const SearchOptions& o, Device device) {
  return choose_precision(search_space(o.space).facts(), o.precision, device, o.channels);
}

Precision apply_precision(const SearchOptions& o, Device device) {
  const Precision precision = choose_precision(o, device);
  set_convolutions(precision, o.conv, device);
  return precision;
}

SupernetOptions supernet_options(const SearchOptions& o, int classes) {
  SupernetOptions s{o.channels, o.cells, classes, o.partial_channels[0]};
  s.space = &search_space(o.space);
  s.none = o.none_op;
  s.imagenet_stem = o.stem == "imagenet";
  s.edge_weights = search_method(o.method).edge_weights;
  return s;
}

SearchInputs::SearchInputs(const SearchOptions& o, bool write_cache) {
  table = search_space(o.space).accuracy_table(o.nb201_table);
  dataset = read_dataset(dataset_options(o, write_cache));
  split = o.split == "nats"      ? split_as_nats(dataset)
          : o.train_list.empty() ? split_for_search(dataset, o.limit_train)
                                 : split_from_lists(dataset, o.data, o.train_list, o.alpha_list);
  if (const CostOption option = parse_cost(o.cost); option.kind != CostOption::Kind::none)
    cost = make_cost_table(option, supernet_options(o, 1), o.image_size);
  const std::size_t images = split.architecture.size();
  if (images < static_cast<std::size_t>(o.batch_size))
    throw Error("--batch-size " + std::to_string(o.batch_size) + ": expected at most " +
                std::to_string(images) + ", the images that the architecture learns from");
}

TrainerOptions SearchInputs::trainer(const SearchOptions& o, const Stage& stage) const {
  TrainerOptions t = trainer_options(o, stage);
  if (cost) t.theta_cost = cost->gradient(o.cost_weight, supernet_options(o, 1).edge_weights);
  return t;
}

std::uint32_t SearchInputs::data_checksum() const {
  std::uint32_t crc = content_checksum(dataset);
  for (const auto* half : {&split.weights, &split.architecture})
    crc = checksum(std::as_bytes(std::span(*half)), crc);
  return crc;
}

MemoryQuestion SearchInputs::memory_question(const SearchOptions& o, Device device,
                                             ImagePlace images, const Stage& stage) const {
  MemoryQuestion q;
  q.supernet = supernet_options(o, static_cast<int>(dataset.classes.size()));
  q.supernet.storage = choose_precision(o, device).storage;
  q.supernet.partial_channels = stage.partial_channels;
  q.supernet.cells = stage.cells;
  q.method = &search_method(o.method);
  q.method_options = method_options(o, device);
  q.batch_sizes = batch_sizes(split, o.batch_size);
  q.image_size = dataset.train.size;
  q.device = device;
  q.trainer = trainer(o, stage);
  q.probes = !o.hessian.empty();
  if (o.select != "argmax" && stage.end_epoch() == o.epochs)
    q.selection = SelectionRun::passes_of(o);
  if (images == ImagePlace::device)
    q.sources = [this, o, device] {
      return gathered(o, ImageBytes::resident(dataset.train, device));
    };
  if (images == ImagePlace::pinned)
    q.sources = [this, o] { return gathered(o, ImageBytes::pinned(dataset.train)); };
  return q;
}

template <class Make>
BatchSources SearchInputs::sources(const SearchOptions& o, const Make& make) const {
  return {make(split.weights, train_loader_options(o)),
          make(split.architecture, alpha_loader_options(o)),
          make(split.architecture, evaluation_loader_options(o))};
}

BatchSources SearchInputs::gathered(const SearchOptions& o,
                                    std::shared_ptr<const ImageBytes> images) const {
  return sources(o, [&](const auto& indices, const LoaderOptions& options) {
    return std::make_unique<GatheredBatches>(BatchMaker(dataset.train, indices, dataset, options),
                                             images);
  });
}

BatchSources SearchInputs::copied(const SearchOptions& o, Device device) const {
  const auto memory = std::make_shared<HostBatches::Memory>();
  // All from the start, as planned: the pool does not count while recorded steps are replayed.
  for (const int size : batch_sizes(split, o.batch_size))
    memory->try_emplace(size, size, dataset.train.size, device);
  return sources(o, [&](const auto& indices, const LoaderOptions& options) {
    return std::make_unique<HostBatches>(
        std::make_unique<Loader>(dataset.train, indices, dataset, options), memory, device);
  });
}

BatchSources SearchInputs::batch_sources(const SearchOptions& o, Device device,
                                         const SearchMemory& memory) const {
  if (memory.images.place == ImagePlace::host) return copied(o, device);
  return gathered(o, memory.images.place == ImagePlace::pinned
                         ? memory.images.pinned.front()
                         : ImageBytes::resident(dataset.train, device));
}

void SearchInputs::plan_alone(const SearchOptions& o, const MemoryQuestion& asked,
                              SearchMemory& memory) const {
  MemoryQuestion question = asked;
  question.supernet.raw_outputs = choose_raw_outputs(o.raw_outputs, question, o.memory_limit);
  memory.network = question.supernet;
  const MemoryCounters planned = plan_memory(question);
  memory.peak_bytes = planned.peak;
  memory.extents = planned.extents;
}

std::vector<StagePlan> SearchInputs::plan_later(const SearchOptions& o, Device device,
                                                const SearchMemory& first) const {
  std::vector<StagePlan> plans;
  for (const Stage& stage : stages(o)) {
    if (stage.number == 1) continue;
    const SearchMemory memory =
        plan_stage(o, device, first, stage, heaviest_operations(first.network, stage.keep_ops));
    plans.push_back({stage, memory.network.raw_outputs, memory.peak_bytes});
  }
  return plans;
}

SearchMemory SearchInputs::plan(const SearchOptions& o, Device device) const {
  SearchMemory memory;
  const Stage first = stages(o).front();
  const auto plan_with = [&](ImagePlace place) {
    plan_alone(o, memory_question(o, device, place, first), memory);
    memory.images.place = place;
    // Stages that start anew may need more than the first.
    if (first.anew) memory.later = plan_later(o, device, memory);
  };
  const ImageSet* const sets[] = {&dataset.train};
  memory.images = place_images(device, sets, [&](ImagePlace place) {
    try {
      plan_with(place);
    } catch (const Error&) {
      if (place == ImagePlace::host) throw;
      return false;  // does not fit: see the next place
    }
    return true;
  });
  if (!first.anew) memory.later = plan_later(o, device, memory);
  return memory;
}

SearchMemory SearchInputs::plan_stage(const SearchOptions& o, Device device,
                                      const SearchMemory& first, const Stage& stage,
                                      const std::vector<std::uint8_t>& kept) const {
  SearchMemory memory = first;
  MemoryQuestion question = memory_question(o, device, first.images.place, stage);
  question.supernet.kept = kept;
  if (stage.anew) {
    plan_alone(o, question, memory);
    return memory;
  }
  question.supernet.raw_outputs = first.network.raw_outputs;
  const auto peak_with = [&](int cells) {
    question.supernet.rebuild_cells = cells;
    const MemoryCounters planned = plan_memory(question);
    memory.extents = planned.extents;
    return planned.peak;
  };
  const std::int64_t limit = first.peak_bytes;
  // The fewest cells whose rebuilding is enough; more of them never need more.
  int enough = 0, most = question.supernet.space->mixed_cells(question.supernet);
  memory.peak_bytes = peak_with(0);
  if (memory.peak_bytes > limit) {
    memory.peak_bytes = peak_with(most);
    if (memory.peak_bytes > limit)
      throw Error("stage " + std::to_string(stage.number) + ": needs " +
                  format_bytes(memory.peak_bytes) + " even where all raw outputs are rebuilt, " +
                  "more than the " + format_bytes(limit) +
                  " of the first stage; expected fewer --keep-ops or more --partial-channels");
    int few = 0;  // not enough
    for (enough = most; enough - few > 1;) {
      const int middle = (few + enough) / 2;
      (peak_with(middle) > limit ? few : enough) = middle;
    }
    memory.peak_bytes = peak_with(enough);
  }
  memory.network = question.supernet;
  memory.network.rebuild_cells = enough;
  return memory;
}

std::string image_text(const SearchMemory& memory, const ImageSet& images) {
  if (memory.images.place == ImagePlace::pinned)
    return format_bytes(memory.images.pinned_bytes()) + " pinned on the host, read by the device";
  if (images.on_disk())
    return std::to_string(images.count) + " on disk, decoded by the host for each batch";
  const std::string bytes = format_bytes(image_bytes(images));
  return bytes + (memory.images.place == ImagePlace::device
                      ? " on the device, among its tensors"
                      : " on the host, which makes the batches");
}

std::int64_t planned_bytes(const SearchMemory& memory, Device device, const ImageSet& images) {
  const bool held = device == Device::cpu && !images.on_disk();
  std::int64_t most = memory.peak_bytes;
  for (const StagePlan& later : memory.later) most = std::max(most, later.peak_bytes);
  return most + (held ? image_bytes(images) : 0);
}

}  // namespace drnas
