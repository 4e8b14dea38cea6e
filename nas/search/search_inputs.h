// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "data/loader.h"
#include "nas/diagnostics/evidence.h"
#include "nas/options/search_options.h"
#include "nas/run/image_place.h"
#include "nas/run/precision.h"
#include "nas/search/memory_plan.h"
#include "nas/search/stages.h"
#include "nas/space/accuracy_table.h"
#include "nas/space/cost_table.h"

namespace drnas {

/// What the options mean for the parts of a search.
TrainerOptions trainer_options(const SearchOptions& options);
/// The same for a stage, which may drop identities.
TrainerOptions trainer_options(const SearchOptions& options, const Stage& stage);
MethodOptions method_options(const SearchOptions& options, Device device);
PassNorm evaluation_norm(const SearchOptions& options);
EvidenceOptions evidence_options(const SearchOptions& options);
LoaderOptions train_loader_options(const SearchOptions& options);
/// Alpha's batches: fresh draws from the second half.
LoaderOptions alpha_loader_options(const SearchOptions& options);
/// Evaluation: the second half in order, with the training transform, drawn from a random stream of
/// its own; images on disk at their centre.
LoaderOptions evaluation_loader_options(const SearchOptions& options);

/// What --precision `name` asks for in this space: on CUDA auto is tf32 where it has no half
/// storage. Throws Error where the device or the space cannot.
Precision choose_precision(const SpaceFacts& space, const std::string& name, Device device,
                           int channels);
Precision choose_precision(const SearchOptions& options, Device device);
/// The same, and set_convolutions().
Precision apply_precision(const SearchOptions& options, Device device);

/// How a later stage will use memory at most: planned with the operations that take most.
struct StagePlan {
  Stage stage;
  RawOutputs raw_outputs;
  std::int64_t peak_bytes;
};
/// How a search, or a stage of one, uses memory.
struct SearchMemory {
  SupernetOptions network;
  PlacedImages images;
  std::int64_t peak_bytes = 0;        ///< of the device's tensors, planned
  MemoryExtents extents;              ///< of the arenas that hold them, planned
  std::vector<StagePlan> later = {};  ///< of the first stage: those after it

  const std::string& note() const { return images.note; }
  const MemoryExtents& planned_extents() const { return extents; }
};
/// "10.00 MiB pinned on the host, read by the device", and the like.
std::string image_text(const SearchMemory& memory, const ImageSet& images);
/// What the device's memory must hold in any stage, for scripts that run several searches at once:
/// the tensors, and on the CPU the decoded images too, which lie in the same memory.
std::int64_t planned_bytes(const SearchMemory& memory, Device device, const ImageSet& images);

/// The supernet of the first stage, its storage left to choose_precision().
SupernetOptions supernet_options(const SearchOptions& options, int classes);

/// What a search reads before it starts.
struct SearchInputs {
  std::shared_ptr<const AccuracyTable> table;  ///< null where the space has none
  Dataset dataset;
  SearchSplit split;
  std::optional<CostTable> cost;  ///< of --cost

  SearchInputs(const SearchOptions& options, bool write_cache);
  /// Of images and split.
  std::uint32_t data_checksum() const;
  /// trainer_options(), with what --cost adds.
  TrainerOptions trainer(const SearchOptions& options, const Stage& stage) const;
  /// The batches that this stage will make, and everything else that decides its memory but for the
  /// operations that are kept.
  MemoryQuestion memory_question(const SearchOptions& options, Device device, ImagePlace images,
                                 const Stage& stage) const;
  /// Sources that a search with this memory reads.
  BatchSources batch_sources(const SearchOptions& options, Device device,
                             const SearchMemory& memory) const;
  /// What --raw-outputs and --memory-limit lead to. On a GPU the images lie on the device where the
  /// limit allows, else in pinned memory of the host, which this call allocates, and where the
  /// system gives none they are left to the host with a note. Throws Error where nothing fits, or
  /// where a later stage could not, whatever it keeps.
  SearchMemory plan(const SearchOptions& options, Device device) const;
  /// How a later stage that keeps the operations `kept` uses memory: raw outputs of as many cells
  /// as needed are rebuilt, so that its peak stays within that of the first stage. A stage that
  /// starts anew is planned as a search of its own, by --raw-outputs and --memory-limit. Throws
  /// Error where that is not enough.
  SearchMemory plan_stage(const SearchOptions& options, Device device, const SearchMemory& first,
                          const Stage& stage, const std::vector<std::uint8_t>& kept) const;

 private:
  /// By --raw-outputs and --memory-limit: network, peak and extents.
  void plan_alone(const SearchOptions& options, const MemoryQuestion& question,
                  SearchMemory& memory) const;
  /// Of the stages after the first.
  std::vector<StagePlan> plan_later(const SearchOptions& options, Device device,
                                    const SearchMemory& first) const;
  BatchSources gathered(const SearchOptions& options,
                        std::shared_ptr<const ImageBytes> images) const;
  BatchSources copied(const SearchOptions& options, Device device) const;
  template <class Make>
  BatchSources sources(const SearchOptions& options, const Make& make) const;
};

}  // namespace drnas
