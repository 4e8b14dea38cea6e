// SPDX-License-Identifier: MIT
#include "nas/search/memory_plan.h"

#include <cstdio>
#include <limits>
#include <list>
#include <numeric>
#include <optional>

#include "engine/memory/planning.h"
#include "nas/search/selection_run.h"
#include "nas/space/search_space.h"

namespace drnas {
namespace {

constexpr RawOutputs modes[] = {RawOutputs::store, RawOutputs::rebuild_1x1, RawOutputs::rebuild};

/// The passes of a Hessian, which is taken on the first batch of an evaluation.
void run_probes(const DeviceBatch& batch, const ThetaShape& shape, SupernetTrainer& trainer) {
  const std::vector<double> theta(static_cast<std::size_t>(shape.edges * shape.operations));
  std::vector<double> gradient;
  trainer.probe(batch, theta, &gradient);
  trainer.probe(batch, theta, nullptr);
}

/// Moves sources to a position counted from the front, or from the back where negative.
void seek(std::initializer_list<BatchSource*> sources, std::int64_t position) {
  for (BatchSource* source : sources)
    source->seek(position < 0 ? source->batches() + position : position);
}

/// The passes of a selection.
void run_selection(const SelectionPasses& selection, const BatchSources& sources,
                   std::span<const std::int64_t> positions, const ThetaShape& shape,
                   SupernetTrainer& trainer) {
  trainer.give_theta(std::vector<double>(static_cast<std::size_t>(shape.edges * shape.operations)));
  for (const std::int64_t position : positions) {
    seek({sources.train.get(), sources.evaluation.get()}, position);
    trainer.run(selection.judging, sources.evaluation->next());
    if (selection.tuning) trainer.run(passes::tuning, sources.train->next());
  }
}

/// Batches of given sizes that stay as they are.
class FixedBatches final : public BatchSource {
 public:
  explicit FixedBatches(const std::list<DeviceBatch>& batches) : batches_(batches) {}

  std::int64_t batches() const override { return std::ssize(batches_); }
  const DeviceBatch& next() override {
    return *std::next(batches_.begin(), static_cast<std::ptrdiff_t>(position_++ % batches()));
  }
  const DeviceBatch& again() override {
    --position_;
    return next();
  }
  void seek(std::int64_t position) override { position_ = position; }

 private:
  const std::list<DeviceBatch>& batches_;
  std::int64_t position_ = 0;
};

BatchSources fixed_sources(const std::list<DeviceBatch>& batches) {
  const auto source = [&] { return std::make_unique<FixedBatches>(batches); };
  return {source(), source(), source()};
}

/// Steps and evaluations on every batch in `positions`.
void run_epoch(const BatchSources& sources, std::span<const std::int64_t> positions,
               SearchMethod& method, SupernetTrainer& trainer) {
  // Divisible by any number of steps between two of alpha.
  constexpr std::int64_t always = std::numeric_limits<std::int64_t>::max() / 5040 * 5040;
  for (const std::int64_t position : positions) {
    seek({sources.train.get(), sources.alpha.get(), sources.evaluation.get()}, position);
    method.step({trainer, *sources.train, *sources.alpha, true, always});
    trainer.run(method.evaluation(), sources.evaluation->next());
    method.end_epoch({0, trainer, *sources.alpha, [](auto...) { return false; }});
  }
}

void run_steps(const MemoryQuestion& q) {
  const std::unique_ptr<Supernet> supernet = make_supernet(q.supernet, 0, q.device);
  const auto [edges, operations] = theta_shape(*q.supernet.space, q.supernet.none);
  const auto method =
      q.method->make(q.method_options.value_or(MethodOptions{edges, operations, 0, q.device}));
  if (!q.supernet.kept.empty()) method->prune(q.supernet.kept);
  std::optional<SupernetTrainer> trainer(std::in_place, *supernet, method->law(),
                                         &method->alpha_update(), q.trainer);
  std::list<DeviceBatch> batches;  // all stay, as in a search
  if (!q.sources)
    for (const int size : q.batch_sizes) batches.emplace_back(size, q.image_size, q.device);
  const BatchSources sources = q.sources ? q.sources() : fixed_sources(batches);
  // Of a data set only the last batch has another size.
  std::vector<std::int64_t> positions{0, -1};
  if (!q.sources) positions.resize(batches.size());
  if (!q.sources) std::iota(positions.begin(), positions.end(), 0);
  run_epoch(sources, positions, *method, *trainer);
  if (q.probes) {
    sources.evaluation->seek(0);
    run_probes(sources.evaluation->next(), theta_shape(q.supernet), *trainer);
  }
  if (!q.selection) return;
  trainer.reset();
  trainer.emplace(*supernet, method->law(), nullptr, SelectionRun::trainer_options(q.trainer));
  run_selection(*q.selection, sources, positions, theta_shape(q.supernet), *trainer);
}

std::string row_text(const std::string& mode, int partial_channels,
                     const MemoryCounters& counters) {
  char text[64];
  std::snprintf(text, sizeof text, "%-12s %2d", mode.c_str(), partial_channels);
  std::string row = text;
  const auto cell = [&](std::int64_t bytes) {
    std::snprintf(text, sizeof text, " %11.1f", static_cast<double>(bytes) / (1 << 20));
    row += text;
  };
  cell(counters.peak);
  for (const std::int64_t bytes : counters.by_tag_at_peak) cell(bytes);
  return row + "\n";
}

}  // namespace

MemoryCounters plan_memory(const MemoryQuestion& question) {
  const Planning planning(question.device);
  run_steps(question);
  return planning.counters();
}

RawOutputs choose_raw_outputs(const std::string& name, MemoryQuestion question,
                              std::int64_t limit) {
  std::vector<RawOutputs> candidates;
  for (const RawOutputs mode : modes)
    if (name == "auto" || name == to_string(mode)) candidates.push_back(mode);
  if (candidates.empty())
    throw Error("--raw-outputs " + name + ": expected auto, store, rebuild-1x1 or rebuild");
  // A CPU has room but little bandwidth to spare; a GPU is held up by launches more than by bytes.
  if (limit == 0 && name == "auto" && question.device == Device::cpu)
    return RawOutputs::rebuild_1x1;
  if (limit == 0) return candidates[0];
  std::int64_t least = 0;
  for (const RawOutputs mode : candidates) {
    question.supernet.raw_outputs = mode;
    least = plan_memory(question).peak;
    if (least <= limit) return mode;
  }
  throw Error("--memory-limit " + std::to_string(limit) + ": with --raw-outputs " + name +
              " the search needs " + format_bytes(least) + " (" + std::to_string(least) +
              " bytes); expected more, a larger --partial-channels or a smaller --batch-size");
}

std::string memory_table(const MemoryQuestion& question) {
  std::string text = "memory at the peak, MiB\nraw outputs   K       total";
  char cell[32];
  for (int tag = 0; tag < memory_tag_count; ++tag) {
    std::snprintf(cell, sizeof cell, " %11s", to_string(static_cast<MemoryTag>(tag)));
    text += cell;
  }
  text += "\n";
  for (const RawOutputs mode : modes)
    for (const int parts : {1, 2, 3, 4, 6, 8}) {
      MemoryQuestion q = question;
      q.supernet.partial_channels = parts;
      q.supernet.raw_outputs = mode;
      if (q.supernet.channels % parts == 0)
        text += row_text(to_string(mode), parts, plan_memory(q));
    }
  return text;
}

}  // namespace drnas
