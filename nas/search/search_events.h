// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nas/diagnostics/evidence.h"
#include "nas/run/event_file.h"
#include "nas/run/observer.h"
#include "nas/space/accuracy_table.h"

namespace drnas {

/// Milliseconds of a step's phases, mean of an epoch; zero where steps are replayed as one graph.
struct PhaseMeans {
  double forward = 0, backward = 0, optimizer = 0;
};

/// What one epoch of a search gave: one line of log.jsonl. images_per_second: of both halves.
struct EpochRecord : EpochBasics {
  int stage = 1;                       ///< counted from 1
  std::optional<double> skip_dropout;  ///< of identities, with --skip-dropout
  double val_loss = 0, val_top1 = 0;   ///< as train_loss and train_top1, on the second half
  std::string genotype;
  std::vector<std::vector<double>> concentrations;      ///< [edges][ops]
  std::vector<std::vector<bool>> kept;                  ///< [edges][ops]; empty: none is pruned
  std::vector<double> edge_weights;                     ///< [edges]; empty: the method has none
  double architecture_step_ms = 0, weight_step_ms = 0;  ///< mean of the epoch
  PhaseMeans architecture_phases, weight_phases;
  std::optional<TableAccuracy> table;
  std::optional<double> expected_cost;    ///< with --cost: see CostTable::expected()
  std::map<std::string, double> seconds;  ///< of train, evaluation, and where done of trajectory
                                          ///< and hessian; of this process
  std::optional<TrajectoryRecord> trajectory;
  std::optional<HessianRecord> hessian;
  std::vector<std::string> warnings;  ///< raised in this epoch
  std::string stopped_on;             ///< the alarm that ended the search here (--stop-on)
  int good_epoch = 0;                 ///< then the epoch whose cell is the result
};
/// One line of log.jsonl, without the line end.
std::string to_json(const EpochRecord& record);
/// Its figures for TensorBoard, see EventObserver.
void summarize(const EpochRecord& record, EventSummary& summary);
/// Mean over the edges of the entropy (nats) of their mean mixing weights, which are the
/// concentrations over their sum; pruned operations (`kept`, empty: none) do not count.
double mean_entropy(const std::vector<std::vector<double>>& concentrations,
                    const std::vector<std::vector<bool>>& kept);
/// What the lines of a log show of early warnings. Throws Error naming file and line for one that
/// is no epoch of a search.
std::vector<EpochSigns> logged_signs(const std::filesystem::path& log, const SearchSpace& space);

using SearchObserver = RunObserver<EpochRecord>;

/// Where an architecture stands among all of its space, by the accuracy on one data set.
struct TablePlace {
  std::string_view data_set;  ///< "CIFAR-10"
  int place, of;              ///< 1 is the best
};

/// What a found cell's operations cost in all cells of the network.
struct CellCost {
  double value, share;  ///< in `unit`, and of what all operations mixed alike cost
  std::string unit;
};

/// A cell, and what is known of it.
struct FoundCell {
  std::string genotype;
  std::optional<TableAccuracy> table;
  std::optional<TablePlace> place;  ///< with `table`; on the data set of the search where the table
                                    ///< has it, else on CIFAR-10
  std::optional<CellCost> cost;     ///< with --cost
};

/// The last line of selection.jsonl: the selected cell, what alpha alone would have given, and the
/// accuracies of the former.
std::string to_json(const FoundCell& selected, const FoundCell& argmax);

/// How a search ended.
struct SearchResult : FoundCell {
  std::optional<FoundCell> argmax;  ///< with --select: what alpha alone would have given
  int epochs_done = 0;
  std::string stopped_on;         ///< alarm of --stop-on that ended it, or empty
  int genotype_epoch = 0;         ///< the epoch whose mean gave the genotype
  int interrupted_by_signal = 0;  ///< SIGINT or SIGTERM; 0: the search came to its end
  std::filesystem::path out;
  double seconds = 0;  ///< of this process
};

}  // namespace drnas
