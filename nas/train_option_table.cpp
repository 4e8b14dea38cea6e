// SPDX-License-Identifier: MIT
#include "nas/train_options.h"

namespace drnas {
namespace {

using O = TrainOptions;
using enum OptionRole;

constexpr std::string_view recipe = "Recipe", network = "Network", data = "Data",
                           machine = "Machine", run = "Run";

const OptionOf<TrainOptions> table[] = {
    {"genotype", &O::genotype, run, "CELL", result,
     "what to train: a published name, a genotype as a search prints it, or a file that holds one"},
    {"preset", &O::preset, run, "NAME", result,
     "start from a named set of options: quick, nb201, darts-cifar10 or darts-imagenet"},
    {"out", &O::out, run, "DIR", place, "run directory; must not exist without --resume"},
    {"resume", &O::resume, run, "", action, "continue the run in --out; its config.toml decides"},
    {"evaluate", &O::evaluate, run, "FILE", action,
     "test the network of this checkpoint.safetensors or weights.safetensors, and end"},
    {"describe", &O::describe, run, "", action,
     "print parameters, multiply-adds and the memory that training will need, and end"},
    {"dry-run", &O::dry_run, run, "", action, "check everything, print the plan, do nothing"},
    {"seed", &O::seed, run, "N", result, "seed of everything random"},
    {"checkpoint-every", &O::checkpoint_every, run, "MINUTES", reporting,
     "longest time between checkpoints (one is written after each epoch anyway)"},
    {"log-every", &O::log_every, run, "SECONDS", reporting,
     "least time between progress lines off a terminal"},
    {"quiet", &O::quiet, run, "", reporting, "print the result only"},

    {"dataset", &O::dataset, data, "NAME", result,
     "cifar10, cifar100, fashion-mnist, mnist, imagenet16-120, svhn, image-folder or synthetic"},
    {"data", &O::data, data, "DIR", result, "folder of the data set"},
    {"cache", &O::cache, data, "FILE", reporting,
     "packed copy of the decoded data (default: beside the data)"},
    {"image-size", &O::image_size, data, "PIXELS", result,
     "side to which an image folder is resized"},
    {"limit-train", &O::limit_train, data, "N", result, "use N training images; 0: all"},
    {"cutout", &O::cutout, data, "PIXELS", result,
     "side of the square erased from each training image; 0: none"},
    {"augment", &O::augment, data, "NAME", result,
     "crop-flip, or resized-crop: image folders too big to hold, decoded for each batch"},
    {"colour-jitter", &O::colour_jitter, data, "", result,
     "with resized-crop: change brightness, contrast, saturation and hue"},

    {"channels", &O::channels, network, "C", result, "channels of the first cells"},
    {"cells", &O::cells, network, "N", result,
     "cells in each of a NAS-Bench-201 network's three stages; of a DARTS network in all"},
    {"stem", &O::stem, network, "NAME", result,
     "first layers of a DARTS network: cifar, or imagenet (three convolutions of stride 2)"},
    {"auxiliary-weight", &O::auxiliary_weight, network, "X", result,
     "weight of the auxiliary head's loss; 0: no such head"},
    {"drop-path", &O::drop_path, network, "P", result,
     "probability that an image loses an operation, rising from 0 to P"},

    {"epochs", &O::epochs, recipe, "N", result, "passes over the training images"},
    {"batch-size", &O::batch_size, recipe, "N", result, "images a step"},
    {"learning-rate", &O::learning_rate, recipe, "X", result, "in the first epoch"},
    {"schedule", &O::schedule, recipe, "NAME", result,
     "how the learning rate falls to 0: cosine or linear (the last 5 epochs less steep)"},
    {"warmup-epochs", &O::warmup_epochs, recipe, "N", result,
     "epochs in which the learning rate rises"},
    {"momentum", &O::momentum, recipe, "X", result, "of SGD"},
    {"nesterov", &O::nesterov, recipe, "", result,
     "Nesterov's momentum (--nesterov=false: the plain one)"},
    {"weight-decay", &O::weight_decay, recipe, "X", result, "of all weights"},
    {"grad-clip", &O::grad_clip, recipe, "X", result,
     "largest L2 norm of the gradients; 0: no limit"},
    {"label-smoothing", &O::label_smoothing, recipe, "X", result,
     "share of the target spread over all classes"},

    {"device", &O::device, machine, "NAME", result, "cpu, cuda or auto"},
    {"threads", &O::threads, machine, "N", reporting, "processor threads; 0: all"},
    {"memory-limit", &O::memory_limit, machine, "BYTES", reporting,
     "most memory for tensors, as in 512M or 2G; 0: no limit. Images beyond it are read from "
     "pinned memory of the host on CUDA",
     true},
    {"precision", &O::precision, machine, "NAME", result,
     "fp32 or tf32 (convolutions round their inputs, on CUDA); auto: fp32"},
    {"no-graph", &O::no_graph, machine, "", reporting,
     "on CUDA: call every kernel instead of replaying recorded steps"},
};

}  // namespace

template <>
std::span<const OptionOf<TrainOptions>> options_of<TrainOptions>() {
  return table;
}

}  // namespace drnas
