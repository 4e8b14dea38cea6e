// SPDX-License-Identifier: MIT
// The seam of search methods: what a method is asked for in the course of a search. One file a
// method, a line in nas/method/registry.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/batch_source.h"
#include "nas/method/alpha_rule.h"
#include "nas/space/search_space.h"
#include "nas/step/supernet_trainer.h"

namespace drnas {

/// What a step of a search is given. A batch is used before next() of either source is called: they
/// may fill the same memory.
struct MethodStep {
  SupernetTrainer& trainer;
  BatchSource &weight_batches, &alpha_batches;
  /// Does alpha learn in this step, and how many steps before it did so?
  bool alpha_learns;
  std::int64_t alpha_steps_before;
};

/// What a step did.
struct MethodResult {
  StepResult weights;
  std::optional<StepResult> alpha;  ///< where alpha learnt
};

/// What a method may use at the end of an epoch.
struct EpochEnd {
  std::int64_t epoch;  ///< counted from 0
  SupernetTrainer& trainer;
  BatchSource& alpha_batches;
  /// Told of passes done, and of how many; where it returns false the search is being stopped.
  const std::function<bool(std::int64_t done, std::int64_t of)>& tick;
};

/// A method in the course of one search. Theta's shape is that of the space.
class SearchMethod {
 public:
  virtual ~SearchMethod() = default;

  /// Where passes get theta from, and what moves alpha at the end of a pass.
  virtual Law& law() = 0;
  virtual AlphaUpdate& alpha_update() = 0;
  /// The pass by which a batch of the second half is judged.
  virtual PassSetting evaluation() const { return passes::evaluation; }

  /// Before the first step of an epoch (counted from 0), and where one goes on.
  virtual void begin_epoch(std::int64_t /*epoch*/) {}
  /// One step of the search. Throws Error where something is not finite; what had been done before
  /// is not repeated by the next call.
  virtual MethodResult step(const MethodStep& step) = 0;
  /// After the last step of an epoch and its evaluation, once an epoch. False where `tick` has
  /// ended it: then nothing has changed, and the evaluation and this come again.
  virtual bool end_epoch(const EpochEnd& /*end*/) { return true; }
  /// Batches of alpha's half that have been used, from which a resumed search goes on.
  virtual std::int64_t alpha_batches_used() const = 0;

  /// The architecture that the search would answer now.
  virtual Architecture choose(const SearchSpace& space, bool none) const = 0;
  /// Which operations [edges, operations] stay where each edge keeps `keep` of those it has now.
  virtual std::vector<std::uint8_t> choose_kept(int keep) const = 0;
  /// Leaves the operations whose entry of `kept` is 0 out from now on.
  virtual void prune(const std::vector<std::uint8_t>& kept) = 0;
  /// Alpha, and what moves it, start anew with all operations, as a method made with this seed; the
  /// count of its batches goes on. For MethodInfo::deepens.
  virtual void restart(std::uint64_t /*seed*/) {
    throw Error("method: has no stages that start anew");
  }

  /// All state, saved or loaded by the one function.
  virtual void archive(StateArchive& archive) = 0;
};

/// What a method is made with.
struct MethodOptions {
  int edges, ops;
  std::uint64_t seed = 0;
  Device device = Device::cpu;
  AdamOptions adam = {};
  Ranking ranking = Ranking::mean;
  bool one_batch = false;      ///< alpha learns from the weights' batch, where a method can
  bool weights_first = false;  ///< a step moves the weights before alpha
  PassNorm evaluation_norm = PassNorm::running;
  int epochs = 1;  ///< of the search: schedules end with it
  /// First and last value of a temperature or radius that falls or rises linearly over the epochs.
  double schedule_first = 0, schedule_last = 0;
  std::vector<int> node_of_edge = {};  ///< the node that each edge enters, for weights of edges
  double penalty = 0;                  ///< lambda of MethodInfo::switches
  std::optional<int> max_skips = {};   ///< of the cell that is read off: see derive_with_skips()

  /// Of epoch `epoch`, counted from 0: from the first value at the first epoch, by equal steps of
  /// (last - first) / epochs, as the published codes go.
  double scheduled(std::int64_t epoch) const {
    return schedule_first + (schedule_last - schedule_first) * static_cast<double>(epoch) / epochs;
  }
};

/// What --schedule-first and --schedule-last are of: a temperature above zero, or the radius of a
/// perturbation of mixing weights, at most one.
enum class MethodSchedule { none, temperature, radius };

/// One row a method.
struct MethodInfo {
  std::string_view name;      ///< as --method takes it
  std::string_view summary;   ///< for --help: "Dirichlet"
  bool draws_from_dirichlet;  ///< has concentrations, and a divergence for --regulariser kl
  bool stages = true;         ///< can prune operations, as progressive learning does
  bool one_batch = false;     ///< takes MethodOptions::one_batch
  MethodSchedule schedule = MethodSchedule::none;
  bool edge_weights = false;  ///< theta has a column of edge weights
  bool switches = false;      ///< alpha are switches under a penalty: --regulariser group
  /// Its stages start anew in deeper networks (--stage-cells), whose identities are dropped
  /// (--skip-dropout), and its cell has few of them (--max-skips).
  bool deepens = false;
  std::string_view space = {};  ///< the only one that it is defined in; empty: all
  std::unique_ptr<SearchMethod> (*make)(const MethodOptions&);
};
/// All methods.
std::span<const MethodInfo* const> search_methods();
/// Adds a program's own, which lives as long as the program, before options are read. Throws Error
/// where the name is taken.
void add_search_method(const MethodInfo& method);
/// "drnas (Dirichlet) or darts (softmax)".
std::string search_method_names();
/// Null for an unknown name.
const MethodInfo* find_search_method(std::string_view name);
/// Throws Error that lists the known ones.
const MethodInfo& search_method(std::string_view name);

/// Which entries of `kept` (empty: all) stay 1: those of the `keep` largest alphas of each row, the
/// first of equal ones.
std::vector<std::uint8_t> keep_largest(const std::vector<std::vector<double>>& alpha,
                                       const std::vector<std::uint8_t>& kept, int keep);

}  // namespace drnas
