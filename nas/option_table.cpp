// SPDX-License-Identifier: MIT
#include "nas/option_table.h"

namespace drnas {
namespace {

using O = SearchOptions;
using enum OptionRole;

constexpr std::string_view recipe = "Recipe", network = "Network", data = "Data",
                           machine = "Machine", run = "Run";

const OptionInfo table[] = {
    {"preset", &O::preset, run, "NAME", result,
     "start from a named set of options: quick, nb201, nb201-progressive, darts-cifar10 or "
     "darts-imagenet"},
    {"out", &O::out, run, "DIR", place, "run directory; must not exist without --resume"},
    {"resume", &O::resume, run, "", action, "continue the run in --out; its config.toml decides"},
    {"seed", &O::seed, run, "N", result, "seed of everything random"},
    {"seeds", &O::seeds, run, "A,B,...", result,
     "one search per seed, in OUT/seed-A, OUT/seed-B, ..."},
    {"nb201-table", &O::nb201_table, run, "FILE", reporting,
     "CSV table that gives a cell's test accuracy"},
    {"checkpoint-every", &O::checkpoint_every, run, "MINUTES", reporting,
     "longest time between checkpoints (one is written after each epoch anyway)"},
    {"log-every", &O::log_every, run, "SECONDS", reporting,
     "least time between progress lines off a terminal"},
    {"quiet", &O::quiet, run, "", reporting, "print the result only"},
    {"then-train", &O::then_train, run, "", action,
     "when the search has ended, train the cell it found into OUT/train (see drnas_train)"},
    {"train-epochs", &O::train_epochs, run, "N", action,
     "epochs of that training; 0: those of its preset"},
    {"dry-run", &O::dry_run, run, "", action, "check everything, print the plan, do nothing"},
    {"plan", &O::plan, run, "", action,
     "print the memory that K 1, 2, 3, 4, 6, 8 will need, by use and mode, and do nothing"},

    {"dataset", &O::dataset, data, "NAME", result,
     "cifar10, cifar100, fashion-mnist, mnist, imagenet16-120, svhn, image-folder or synthetic"},
    {"data", &O::data, data, "DIR", result, "folder of the data set"},
    {"cache", &O::cache, data, "FILE", reporting,
     "packed copy of the decoded data (default: beside the data)"},
    {"image-size", &O::image_size, data, "PIXELS", result,
     "side to which an image folder is resized"},
    {"limit-train", &O::limit_train, data, "N", result,
     "use N training images, both halves together; 0: all"},
    {"cutout", &O::cutout, data, "PIXELS", result,
     "side of the square erased from each training image; 0: none"},
    {"augment", &O::augment, data, "NAME", result,
     "crop-flip (padded crop and flip of images held decoded) or resized-crop (image-folder: "
     "random "
     "resized crop and flip of images decoded for each batch, evaluation at their centre)"},
    {"colour-jitter", &O::colour_jitter, data, "", result,
     "with resized-crop: change brightness, contrast, saturation and hue"},
    {"train-list", &O::train_list, data, "FILE", result,
     "image-folder: train weights on these images, a line CLASS/IMAGE for each (see "
     "tools/make_subset.py), in place of the first half"},
    {"alpha-list", &O::alpha_list, data, "FILE", result,
     "the same for the architecture, in place of the second half"},

    {"space", &O::space, network, "NAME", result, "search space: nas-bench-201 or darts"},
    {"channels", &O::channels, network, "C", result, "channels of the first cells"},
    {"cells", &O::cells, network, "N", result,
     "cells in each of the network's three stages; of a darts network in all"},
    {"stem", &O::stem, network, "NAME", result,
     "first layers of a darts network: cifar, or imagenet (three convolutions of stride 2)"},
    {"partial-channels", &O::partial_channels, network, "K,...", result,
     "candidate operations see 1/K of the channels: less time and memory; one K a stage"},
    {"none-op", &O::none_op, network, "", result,
     "darts: an edge may also mix in `none`, as the paper counts it; the found cell has none of "
     "it"},
    {"keep-ops", &O::keep_ops, network, "N,...", result,
     "operations that each edge keeps in each stage: those with the largest alpha"},
    {"stage-epochs", &O::stage_epochs, recipe, "N,...", result,
     "epochs of each stage of progressive learning, as in 50,50"},

    {"method", &O::method, recipe, "NAME", result, "drnas (Dirichlet) or darts (softmax)"},
    {"epochs", &O::epochs, recipe, "N", result,
     "passes over the first half of the training images"},
    {"batch-size", &O::batch_size, recipe, "N", result, "images a step"},
    {"learning-rate", &O::learning_rate, recipe, "X", result, "of the weights in the first epoch"},
    {"learning-rate-min", &O::learning_rate_min, recipe, "X", result,
     "where its cosine schedule ends"},
    {"warmup-epochs", &O::warmup_epochs, recipe, "N", result,
     "epochs in which the learning rate rises"},
    {"recipe", &O::recipe, recipe, "NAME", result,
     "published (what the released code does) or paper, where the two differ: see the README"},
    {"momentum", &O::momentum, recipe, "X", result, "of the weights"},
    {"weight-decay", &O::weight_decay, recipe, "X", result, "of the weights"},
    {"grad-clip", &O::grad_clip, recipe, "X", result,
     "largest L2 norm of the weight gradients; 0: no limit"},
    {"alpha-learning-rate", &O::alpha_learning_rate, recipe, "X", result,
     "of the architecture (Adam)"},
    {"alpha-beta1", &O::alpha_beta1, recipe, "X", result, "Adam's first decay rate"},
    {"alpha-beta2", &O::alpha_beta2, recipe, "X", result, "Adam's second decay rate"},
    {"alpha-grad-clip", &O::alpha_grad_clip, recipe, "X", result,
     "largest L2 norm of the architecture's gradient; 0: no limit"},
    {"alpha-start-epoch", &O::alpha_start_epoch, recipe, "N", result,
     "epochs of each stage before the architecture learns"},
    {"regulariser", &O::regulariser, recipe, "NAME", result,
     "what keeps concentrations near 1: l2, kl or none"},
    {"lambda", &O::lambda, recipe, "X", result, "weight of the regulariser"},

    {"device", &O::device, machine, "NAME", result, "cpu, cuda or auto"},
    {"threads", &O::threads, machine, "N", reporting, "processor threads; 0: all"},
    {"memory-limit", &O::memory_limit, machine, "BYTES", reporting,
     "most memory for tensors, as in 512M or 2G; 0: no limit. Training images beyond it are read "
     "from pinned memory of the host on CUDA",
     true},
    {"raw-outputs", &O::raw_outputs, machine, "NAME", reporting,
     "store, rebuild-1x1 or rebuild convolution outputs for the backward pass; auto: the first "
     "that "
     "fits --memory-limit"},
    {"precision", &O::precision, machine, "NAME", result,
     "fp32, tf32 (convolutions round their inputs) or bf16 (activations are stored in 16 bits), "
     "the "
     "latter two on CUDA; auto: bf16 on CUDA, else fp32"},
    {"no-graph", &O::no_graph, machine, "", reporting,
     "on CUDA: call every kernel instead of replaying recorded steps"},
};

}  // namespace

template <>
std::span<const OptionInfo> options_of<SearchOptions>() {
  return table;
}

}  // namespace drnas
