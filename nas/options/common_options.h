// SPDX-License-Identifier: MIT
// Rows that the option tables of all programs share. Their structs name these members the same.
#pragma once

#include <initializer_list>
#include <vector>

#include "data/dataset_info.h"
#include "nas/options/option_info.h"

namespace drnas {

/// Headings in --help and in configuration files.
namespace option_group {
inline constexpr std::string_view run = "Run", evidence = "Evidence", data = "Data",
                                  network = "Network", recipe = "Recipe", machine = "Machine";
}

template <class O>
using OptionRows = std::vector<OptionOf<O>>;

template <class O>
OptionRows<O> joined_rows(std::initializer_list<OptionRows<O>> parts) {
  OptionRows<O> rows;
  for (const OptionRows<O>& part : parts) rows.insert(rows.end(), part.begin(), part.end());
  return rows;
}

template <class O>
OptionRows<O> common_run_rows() {
  using enum OptionRole;
  using option_group::run;
  return {
      {"out", &O::out, run, "DIR", place, "run directory; must not exist without --resume"},
      {"resume", &O::resume, run, "", action, "continue the run in --out; its config.toml decides"},
      {"dry-run", &O::dry_run, run, "", action, "check everything, print the plan, do nothing"},
      {"seed", &O::seed, run, "N", result, "seed of everything random"},
      {"checkpoint-every", &O::checkpoint_every, run, "MINUTES", reporting,
       "longest time between checkpoints (one is written after each epoch anyway)"},
      {"log-every", &O::log_every, run, "SECONDS", reporting,
       "least time between progress lines off a terminal"},
      {"tensorboard", &O::tensorboard, run, "", reporting,
       "write event files for TensorBoard into OUT/tensorboard, in time to watch the run"},
      {"quiet", &O::quiet, run, "", reporting, "print the result only"},
  };
}

template <class O>
OptionRows<O> common_data_rows() {
  using enum OptionRole;
  using option_group::data;
  static const std::string data_names = dataset_names();
  return {
      {"dataset", &O::dataset, data, "NAME", result, data_names},
      {"data", &O::data, data, "DIR", input, "folder of the data set"},
      {"cache", &O::cache, data, "FILE", place,
       "packed copy of the decoded data (default: beside the data)"},
      {"image-size", &O::image_size, data, "PIXELS", result,
       "side of synthetic images, and to which an image folder is resized"},
      {"cutout", &O::cutout, data, "PIXELS", result,
       "side of the square erased from each training image; 0: none"},
      {"augment", &O::augment, data, "NAME", result,
       "crop-flip (padded crop and flip of images held decoded) or resized-crop (image-folder: "
       "random resized crop and flip of images decoded for each batch, evaluation at their "
       "centre)"},
      {"colour-jitter", &O::colour_jitter, data, "", result,
       "with resized-crop: change brightness, contrast, saturation and hue"},
  };
}

template <class O>
OptionRows<O> common_network_rows() {
  using enum OptionRole;
  using option_group::network;
  return {
      {"channels", &O::channels, network, "C", result, "channels of the first cells"},
      {"cells", &O::cells, network, "N", result,
       "cells in each of a NAS-Bench-201 network's three sections; of a DARTS network in all"},
      {"stem", &O::stem, network, "NAME", result,
       "first layers of a DARTS network: cifar, or imagenet (three convolutions of stride 2)"},
  };
}

template <class O>
OptionRows<O> common_recipe_rows() {
  using enum OptionRole;
  using option_group::recipe;
  return {
      {"batch-size", &O::batch_size, recipe, "N", result, "images a step"},
      {"learning-rate", &O::learning_rate, recipe, "X", result,
       "of the weights, where its schedule starts"},
      {"warmup-epochs", &O::warmup_epochs, recipe, "N", result,
       "epochs in which the learning rate rises"},
      {"momentum", &O::momentum, recipe, "X", result, "of the weights"},
      {"weight-decay", &O::weight_decay, recipe, "X", result, "of the weights"},
      {"grad-clip", &O::grad_clip, recipe, "X", result,
       "largest L2 norm of the weight gradients; 0: no limit"},
  };
}

template <class O>
OptionRows<O> common_machine_rows() {
  using enum OptionRole;
  using option_group::machine;
  return {
      {"device", &O::device, machine, "NAME", result, "cpu, cuda or auto"},
      {"threads", &O::threads, machine, "N", reporting, "processor threads; 0: all"},
      {"memory-limit", &O::memory_limit, machine, "BYTES", reporting,
       "most memory for tensors, as in 512M or 2G; 0: no limit. Images beyond it are read from "
       "pinned memory of the host on CUDA",
       true},
      {"conv", &O::conv, machine, "NAME", result,
       "whose convolutions run on CUDA: own, cudnn (with cuBLAS, where the build has them) or "
       "auto: own, but products of planes in the DARTS space by cuBLAS where it is"},
      {"no-graph", &O::no_graph, machine, "", reporting,
       "on CUDA: call every kernel instead of replaying recorded steps"},
  };
}

}  // namespace drnas
