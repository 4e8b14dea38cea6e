// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nas/options/option_info.h"

namespace drnas {

/// Every option of a search; an option of the command line and a key of a configuration file are
/// the member's name with dashes. The defaults are the preset nb201: the published plain
/// NAS-Bench-201 recipe of DrNAS (Chen et al., ICLR 2021).
struct SearchOptions {
  static constexpr const char* program = "drnas_search";  ///< that takes them
  static constexpr int any_skips = 8;                     ///< all inputs of a normal cell's nodes

  std::string preset = "nb201";     ///< what the other options started from
  std::string dataset = "cifar10";  ///< see dataset_infos()
  std::filesystem::path data;   ///< folder of the data set; empty: its default place, if it has one
  std::filesystem::path cache;  ///< packed cache file; empty: beside the data
  int image_size = 32;  ///< pixels; the data set's own but for image folders and synthetic data
  std::int64_t limit_train = 0;       ///< training images used, both halves together; 0: all
  int cutout = 0;                     ///< side of the erased square in pixels; 0: none
  std::string augment = "crop-flip";  ///< crop-flip | resized-crop (image folders, from disk)
  bool colour_jitter = false;         ///< with resized-crop
  std::filesystem::path train_list;   ///< files of the weights' images; empty: the first half
  std::filesystem::path alpha_list;   ///< files of alpha's images; empty: the second half

  std::string space = "nas-bench-201";
  std::string method = "drnas";  ///< see search_methods()
  int channels = 16;             ///< C of the first cells
  int cells = 5;                 ///< N per stage of the network; DARTS space: all cells
  std::string stem = "cifar";    ///< cifar | imagenet (DARTS space: three convolutions of stride 2)
  std::vector<int> partial_channels{1};  ///< K of each stage: candidate operations see C/K channels
  bool none_op = false;                  ///< DARTS space: `none` is a candidate operation too
  std::vector<int> keep_ops;         ///< operations that an edge keeps in each stage; empty: all
  std::vector<int> stage_epochs;     ///< of progressive learning; empty: one stage of all epochs
  std::vector<int> stage_cells;      ///< of p-darts: cells of each stage, which starts anew
  std::vector<double> skip_dropout;  ///< likewise: of identities, each stage's first; empty: none
  int max_skips = any_skips;         ///< likewise: identities of the normal cell that is read off

  int epochs = 100;
  int batch_size = 64;
  std::uint64_t seed = 2;
  std::vector<std::uint64_t>
      seeds;                     ///< several searches one after the other; empty: one, with `seed`
  double learning_rate = 0.025;  ///< of the weights, first epoch; cosine schedule
  double learning_rate_min = 0.001;
  int warmup_epochs = 0;              ///< linear rise of the learning rate in the first epochs
  std::string recipe = "published";   ///< published (what the code does) | paper, where they differ
  std::string base = "drnas";         ///< drnas | authors | nats: see method_defaults.h
  bool nesterov = false;              ///< Nesterov's momentum
  std::string rate_moves = "epoch";   ///< epoch | step: how often the learning rate does
  std::string order = "alpha-first";  ///< alpha-first | weights-first, in a step
  bool one_batch = false;             ///< alpha learns from the weights' batch (snas)
  std::string evaluation_norm = "running";       ///< running | batch: statistics that evaluate
  std::string split = "halves";                  ///< halves | nats: which images alpha learns from
  double schedule_first = 0, schedule_last = 0;  ///< temperature or radius by the method
  double momentum = 0.9;
  double weight_decay = 3e-4;
  double grad_clip = 5;               ///< L2 norm of all weight gradients; 0: no clipping
  double alpha_learning_rate = 3e-4;  ///< Adam
  double alpha_beta1 = 0.5, alpha_beta2 = 0.999;
  double alpha_grad_clip = 0;      ///< L2 norm of alpha's gradient; 0: no clipping
  int alpha_start_epoch = 0;       ///< alpha rests for so many epochs of each stage
  std::string regulariser = "l2";  ///< l2 | kl | none: what draws the concentrations towards 1;
                                   ///< group: switches to 0
  double lambda = 1e-3;            ///< its weight
  std::string cost;                ///< see parse_cost(); empty: none
  double cost_weight = 0;          ///< of the expected cost in the loss that alpha follows

  std::string device = "auto";       ///< cpu | cuda | auto
  int threads = 0;                   ///< 0: all processors
  std::int64_t memory_limit = 0;     ///< bytes of tensors; 0: none
  std::string raw_outputs = "auto";  ///< store | rebuild-1x1 | rebuild | auto: what fits the limit
  std::string precision = "auto";    ///< fp32 | tf32 | bf16 | auto: see precision.h
  std::string conv = "auto";         ///< own | cudnn | auto: whose convolutions, on CUDA
  bool no_graph = false;             ///< on CUDA: call every kernel instead of replaying steps
  std::filesystem::path out;         ///< run directory
  bool resume = false;               ///< continue the run in `out`
  double checkpoint_every = 10;      ///< minutes
  std::filesystem::path nb201_table;
  int trajectory = 0;             ///< cells sampled from the distribution each epoch
  std::string hessian;            ///< see parse_hessian(); empty: none
  std::string stop_on;            ///< see parse_alarms(); empty: nothing
  std::string select = "argmax";  ///< argmax | perturbation | sampled: how the cell is read off
  int select_tune = 5;            ///< epochs of weight steps between rounds of a selection
  int select_cells = 100;         ///< drawn by --select sampled
  double log_every = 5;           ///< least seconds between plain progress lines
  bool tensorboard = false;       ///< write event files into OUT/tensorboard
  bool quiet = false;
  bool then_train = false;  ///< train what was found, into OUT/train
  int train_epochs = 0;     ///< of that training; 0: those of its preset
  bool dry_run = false;
  bool plan = false;                      ///< print what the search will hold in memory, and end
  std::filesystem::path measure_latency;  ///< write the times of single operations there, and end
  /// The words of the command line, the program's name first, for run.json; empty: called from
  /// code.
  std::vector<std::string> command;

  bool operator==(const SearchOptions&) const = default;

  /// Throws Error naming the first option with an impossible value, the value, and what was
  /// expected.
  void validate() const;

  /// A TOML file with a commented header that holds every option but actions.
  std::string to_toml() const;
  /// Those of such a file.
  static SearchOptions from_config(const std::vector<GivenOption>& config);
};

/// Names of --preset, and what each is for.
struct Preset {
  std::string_view name, summary;
};
std::span<const Preset> presets();
/// Throws Error that lists the known ones. A preset may depend on --recipe.
SearchOptions preset_options(std::string_view name, std::string_view recipe = "published");

/// Reads a configuration file: `key = value` lines of TOML. Throws Error naming file, line and key
/// for anything else, an unknown key included.
std::vector<GivenOption> read_config(const std::filesystem::path& file);

/// Defaults < preset < configuration file < command line. The preset itself may come from either,
/// the command line wins. Throws Error naming the option for an unknown name or a value of the
/// wrong kind; does not validate().
SearchOptions resolve_options(const std::vector<GivenOption>& config,
                              const std::vector<GivenOption>& command_line);

}  // namespace drnas
