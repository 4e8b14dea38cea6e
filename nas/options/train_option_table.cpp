// SPDX-License-Identifier: MIT
#include "nas/options/train_options.h"

#include "nas/options/common_options.h"

namespace drnas {
namespace {

using O = TrainOptions;
using enum OptionRole;
using namespace option_group;

OptionRows<O> make_table() {
  return joined_rows<O>(
      {{
           {"genotype", &O::genotype, run, "CELL", result,
            "what to train: a published name, a genotype as a search prints it, or a file that "
            "holds one"},
           {"preset", &O::preset, run, "NAME", result,
            "start from a named set of options: quick, nb201, darts-cifar10 or darts-imagenet"},
       },
       common_run_rows<O>(),
       {
           {"evaluate", &O::evaluate, run, "FILE", action,
            "test the network of this checkpoint.safetensors or weights.safetensors, and end"},
           {"describe", &O::describe, run, "", action,
            "print parameters, multiply-adds and the memory that training will need, and end"},
       },
       common_data_rows<O>(),
       {
           {"limit-train", &O::limit_train, data, "N", result, "use N training images; 0: all"},
       },
       common_network_rows<O>(),
       {
           {"auxiliary-weight", &O::auxiliary_weight, network, "X", result,
            "weight of the auxiliary head's loss; 0: no such head"},
           {"drop-path", &O::drop_path, network, "P", result,
            "probability that an image loses an operation, rising from 0 to P"},
       },
       {
           {"epochs", &O::epochs, recipe, "N", result, "passes over the training images"},
       },
       common_recipe_rows<O>(),
       {
           {"schedule", &O::schedule, recipe, "NAME", result,
            "how the learning rate falls to 0: cosine or linear (the last 5 epochs less steep)"},
           {"nesterov", &O::nesterov, recipe, "", result,
            "Nesterov's momentum (--nesterov=false: the plain one)"},
           {"label-smoothing", &O::label_smoothing, recipe, "X", result,
            "share of the target spread over all classes"},
       },
       common_machine_rows<O>(),
       {
           {"precision", &O::precision, machine, "NAME", result,
            "fp32 or tf32 (convolutions round their inputs, on CUDA); auto: fp32"},
       }});
}

}  // namespace

template <>
std::span<const OptionOf<O>> options_of<O>() {
  static const OptionRows<O> table = make_table();
  return table;
}

}  // namespace drnas
