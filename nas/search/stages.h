// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "nas/options/search_options.h"

namespace drnas {

/// Progressive learning (DrNAS, section 3.3): each stage sees more channels of fewer operations. Or
/// (P-DARTS, Chen et al., ICCV 2019; --stage-cells) each stage is a deeper network of fewer
/// operations, in which weights, alpha and the schedules start anew.
struct Stage {
  int number = 1;  ///< counted from 1
  int first_epoch = 0, epochs = 0;
  int partial_channels = 1;  ///< K
  int keep_ops = 0;          ///< candidate operations that each edge keeps
  int cells = 0;             ///< of the network
  bool anew = false;         ///< it begins as a search of its own, the first stage too
  double skip_dropout = 0;   ///< probability of dropout of identities at its start

  int end_epoch() const { return first_epoch + epochs; }
};

/// The stages of a search whose edges have `ops` candidate operations. The options are valid.
std::vector<Stage> stages_of(const SearchOptions& options, int ops);
/// The stage that an epoch (counted from 0) belongs to; the last one for an epoch after the end.
const Stage& stage_at(const std::vector<Stage>& stages, std::int64_t epoch);

/// Learning rate of the weights in an epoch. Cosine over all epochs, with a linear warm-up. By
/// --recipe published each stage starts at the full rate again and so follows the cosine at the
/// scale that this implies (at half of the epochs: twice the rate), and the cosine after a warm-up
/// starts from the full rate: what the published code does. By --recipe paper it is the plain
/// cosine. `share` of the epoch's steps are done.
double weight_learning_rate(const SearchOptions& options, const Stage& stage, std::int64_t epoch,
                            double share = 0);

/// Probability of dropout of identities in an epoch of a stage of E epochs, p its first one, e
/// counted from the stage's first epoch: p (E - e - 1)/E while alpha rests, for r epochs, then
/// p exp(-0.2 (e - r)).
double skip_dropout(const SearchOptions& options, const Stage& stage, std::int64_t epoch);
/// Of the weights and alpha that a stage starts with.
std::uint64_t stage_seed(const SearchOptions& options, const Stage& stage);

/// Does alpha learn in this epoch? It rests for --alpha-start-epoch epochs of every stage.
inline bool alpha_learns(const SearchOptions& options, const Stage& stage, std::int64_t epoch) {
  return epoch - stage.first_epoch >= options.alpha_start_epoch;
}
/// Epochs of alpha's learning before `epoch`.
std::int64_t alpha_epochs_before(const SearchOptions& options, const std::vector<Stage>& stages,
                                 std::int64_t epoch);

}  // namespace drnas
