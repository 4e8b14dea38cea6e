// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nas/options/option_info.h"
#include "nas/options/search_options.h"
#include "nas/space/derived_network.h"

namespace drnas {

/// Every option of a training; an option of the command line and a key of a configuration file are
/// the member's name with dashes. The defaults are the preset nb201: how NAS-Bench-201 (Dong and
/// Yang, ICLR 2020) trains its cells for 200 epochs.
struct TrainOptions {
  static constexpr const char* program = "drnas_train";  ///< that takes them

  std::string preset = "nb201";     ///< what the other options started from
  std::string genotype;             ///< the cell in its published form; empty only while resolving
  std::string dataset = "cifar10";  ///< see dataset_infos()
  std::filesystem::path data;   ///< folder of the data set; empty: its default place, if it has one
  std::filesystem::path cache;  ///< packed cache file; empty: beside the data
  int image_size = 32;          ///< pixels; other than 32 for image folders and synthetic data only
  std::int64_t limit_train = 0;  ///< training images used, from the front; 0: all
  int cutout = 0;                ///< side of the erased square in pixels; 0: none
  std::string augment =
      "crop-flip";             ///< crop-flip | resized-crop: image folders decoded batch by batch
  bool colour_jitter = false;  ///< with resized-crop

  int channels = 16;            ///< C of the first cells
  int cells = 5;                ///< N per stage of a NAS-Bench-201 network; DARTS space: all cells
  std::string stem = "cifar";   ///< cifar | imagenet (DARTS space: three convolutions of stride 2)
  double auxiliary_weight = 0;  ///< of the auxiliary head's loss; 0: no such head
  double drop_path = 0;         ///< probability at the end, from 0 linear in the epoch

  int epochs = 200;
  int batch_size = 256;
  std::uint64_t seed = 2;
  double learning_rate = 0.1;       ///< of the first epoch after the warm-up
  std::string schedule = "cosine";  ///< to zero: cosine | linear (the last 5 epochs less steep)
  int warmup_epochs = 0;            ///< linear rise of the learning rate in the first epochs
  double momentum = 0.9;
  bool nesterov = true;
  double weight_decay = 5e-4;
  double grad_clip = 0;        ///< L2 norm of all weight gradients; 0: no clipping
  double label_smoothing = 0;  ///< of the training loss

  std::string device = "auto";     ///< cpu | cuda | auto
  int threads = 0;                 ///< 0: all processors
  std::int64_t memory_limit = 0;   ///< bytes of tensors; 0: none
  std::string precision = "auto";  ///< fp32 | tf32 (CUDA) | auto: fp32
  std::string conv = "auto";       ///< own | cudnn | auto: whose convolutions, on CUDA
  bool no_graph = false;           ///< on CUDA: call every kernel instead of replaying steps
  std::filesystem::path out;       ///< run directory
  bool resume = false;             ///< continue the run in `out`
  double checkpoint_every = 10;    ///< minutes
  double log_every = 5;            ///< least seconds between plain progress lines
  bool tensorboard = false;        ///< write event files into OUT/tensorboard
  bool quiet = false;
  bool dry_run = false;
  bool describe = false;           ///< print what the network costs, and end
  std::filesystem::path evaluate;  ///< checkpoint or weights to test; empty: train
  /// The words of the command line, the program's name first, for run.json; empty: called from
  /// code.
  std::vector<std::string> command;

  bool operator==(const TrainOptions&) const = default;

  /// Throws Error naming the first option with an impossible value, the value, and what was
  /// expected.
  void validate() const;
  /// A TOML file with a commented header that holds every option but actions.
  std::string to_toml() const;
  /// Those of such a file.
  static TrainOptions from_config(const std::vector<GivenOption>& config);
};

template <>
std::span<const OptionOf<TrainOptions>> options_of<TrainOptions>();

/// Of a row of train_presets(). Throws Error that lists the known ones. The genotype is one that
/// DrNAS found.
TrainOptions train_preset_options(std::string_view name);

/// Defaults < preset < configuration file < command line, as for a search. Where no preset is given
/// the genotype chooses it: a name published for ImageNet darts-imagenet, else its space; it is
/// brought to its published form. Does not validate().
TrainOptions resolve_train_options(const std::vector<GivenOption>& config,
                                   const std::vector<GivenOption>& command_line);

/// The training of what a search with these options found.
TrainOptions train_options_after(const SearchOptions& search, const std::string& genotype);

/// Learning rate and drop path's probability in an epoch, counted from 0.
double train_learning_rate(const TrainOptions& options, std::int64_t epoch);
double drop_path_probability(const TrainOptions& options, std::int64_t epoch);

/// The network that the options ask for. Throws Error naming a text that is no genotype.
DerivedOptions derived_options(const TrainOptions& options, int classes);

}  // namespace drnas
