// SPDX-License-Identifier: MIT
#include "nas/options/option_table.h"

#include "nas/method/search_method.h"
#include "nas/options/common_options.h"
#include "nas/space/search_space.h"

namespace drnas {
namespace {

using O = SearchOptions;
using enum OptionRole;
using namespace option_group;

OptionRows<O> first_rows() {
  return {
      {"preset", &O::preset, run, "NAME", result,
       "start from a named set of options: quick, nb201, nb201-progressive, darts-cifar10 or "
       "darts-imagenet"},
  };
}

OptionRows<O> run_rows() {
  return {
      {"seeds", &O::seeds, run, "A,B,...", result,
       "one search per seed, in OUT/seed-A, OUT/seed-B, ..."},
      {"nb201-table", &O::nb201_table, run, "FILE", reporting,
       "CSV of test accuracies in place of the built-in table of NAS-Bench-201"},
      {"select", &O::select, run, "NAME", reporting,
       "how the cell is read off at the end: argmax (of alpha), perturbation (DARTS-PT: the "
       "operation stays whose removal hurts the validation accuracy most) or sampled (of cells "
       "drawn from the distribution the one of the best validation accuracy, as SETN does)"},
      {"select-tune", &O::select_tune, run, "N", reporting,
       "epochs of weight steps between two rounds of --select perturbation"},
      {"select-cells", &O::select_cells, run, "N", reporting, "cells that --select sampled draws"},
      {"then-train", &O::then_train, run, "", reporting,
       "when the search has ended, train the cell it found into OUT/train (see drnas_train)"},
      {"train-epochs", &O::train_epochs, run, "N", reporting,
       "epochs of that training; 0: those of its preset"},
      {"plan", &O::plan, run, "", action,
       "print the memory that K 1, 2, 3, 4, 6, 8, as far as they divide --channels, will need, by "
       "use and mode, and do nothing"},
      {"measure-latency", &O::measure_latency, run, "FILE", action,
       "time each operation of the space at the shapes of this network, batches of --batch-size, "
       "on this device, write the table for --cost and do nothing else"},
  };
}

OptionRows<O> evidence_rows() {
  return {
      {"trajectory", &O::trajectory, evidence, "N", reporting,
       "each epoch: sample N cells from the distribution (100 as in the paper's figure 1) and log "
       "how they differ, in NAS-Bench-201 also how accurate they are; 0: none"},
      {"hessian", &O::hessian, evidence, "SPEC", reporting,
       "Hessian of the validation loss with respect to the architecture, as in every=5 (epochs) or "
       "every=5,step=0.05,samples=32: differences of that step, draws for the expected loss"},
      {"stop-on", &O::stop_on, evidence, "NAMES", reporting,
       "end the search on these early warnings and go back to the last good cell: skip (collapse "
       "to skip connections), eigenvalue (of the Hessian, rising), nan (validation loss); without "
       "it they are only printed"},
  };
}

OptionRows<O> data_rows() {
  return {
      {"limit-train", &O::limit_train, data, "N", result,
       "use N training images, both halves together; 0: all"},
      {"train-list", &O::train_list, data, "FILE", input,
       "image-folder: train weights on these images, a line CLASS/IMAGE for each (see "
       "tools/data/make_subset.py), in place of the first half"},
      {"alpha-list", &O::alpha_list, data, "FILE", input,
       "the same for the architecture, in place of the second half"},
  };
}

OptionRows<O> space_rows() {
  static const std::string names = "search space: " + search_space_names();
  return {
      {"space", &O::space, network, "NAME", result, names},
  };
}

OptionRows<O> network_rows() {
  return {
      {"partial-channels", &O::partial_channels, network, "K,...", result,
       "candidate operations see 1/K of the channels: less time and memory; one K a stage"},
      {"none-op", &O::none_op, network, "", result,
       "darts: `none` is a candidate operation of each edge too, as in the paper; the found cell "
       "never "
       "contains it"},
      {"keep-ops", &O::keep_ops, network, "N,...", result,
       "operations that each edge keeps in each stage: those with the largest alpha"},
      {"stage-cells", &O::stage_cells, network, "N,...", result,
       "p-darts: cells of the network in each stage, in which weights, alpha and the learning rate "
       "start anew"},
      {"skip-dropout", &O::skip_dropout, network, "P,...", result,
       "p-darts: dropout of the values that skip connections pass on in training, for each stage, "
       "where it falls from there"},
      {"max-skips", &O::max_skips, network, "N", result,
       "p-darts: skip connections that the normal cell may have at most when it is read off by "
       "alpha; 8: any number"},
  };
}

OptionRows<O> method_rows() {
  static const std::string names = search_method_names();
  return {
      {"method", &O::method, recipe, "NAME", result, names},
      {"base", &O::base, recipe, "NAME", result,
       "what methods have in common and start from: drnas (Table 4 of DrNAS), authors (each "
       "method's own settings for the space) or nats (NATS-Bench): see docs/methods.md"},
      {"epochs", &O::epochs, recipe, "N", result,
       "passes over the first half of the training images"},
      {"order", &O::order, recipe, "NAME", result, "of a step: alpha-first or weights-first"},
      {"one-batch", &O::one_batch, recipe, "", result,
       "snas: alpha learns from the weights' batch, in the same pass"},
      {"schedule-first", &O::schedule_first, recipe, "X", result,
       "temperature (snas, gdas) or radius of the perturbation (sdarts) at the first epoch"},
      {"schedule-last", &O::schedule_last, recipe, "X", result,
       "where it would be after the last, in equal steps"},
      {"evaluation-norm", &O::evaluation_norm, recipe, "NAME", result,
       "batch norm of evaluations: running statistics, or those of the batch"},
      {"split", &O::split, recipe, "NAME", result,
       "images of weights and alpha: halves of the training set, or nats (the lists of "
       "NAS-Bench-201's own baselines)"},
  };
}

OptionRows<O> recipe_rows() {
  return {
      {"stage-epochs", &O::stage_epochs, recipe, "N,...", result,
       "epochs of each stage of progressive learning, as in 50,50"},
      {"learning-rate-min", &O::learning_rate_min, recipe, "X", result,
       "where its cosine schedule ends"},
      {"rate-moves", &O::rate_moves, recipe, "NAME", result,
       "how often the schedule moves: each epoch or each step"},
      {"nesterov", &O::nesterov, recipe, "", result, "SGD with Nesterov's momentum"},
      {"recipe", &O::recipe, recipe, "NAME", result,
       "published (what the released code does) or paper, where the two differ: see "
       "docs/methods.md"},
      {"alpha-learning-rate", &O::alpha_learning_rate, recipe, "X", result,
       "of the architecture (Adam; gaea: exponentiated; bayesnas: proximal)"},
      {"alpha-beta1", &O::alpha_beta1, recipe, "X", result, "Adam's first decay rate"},
      {"alpha-beta2", &O::alpha_beta2, recipe, "X", result, "Adam's second decay rate"},
      {"alpha-grad-clip", &O::alpha_grad_clip, recipe, "X", result,
       "largest L2 norm of the architecture's gradient; 0: no limit"},
      {"alpha-start-epoch", &O::alpha_start_epoch, recipe, "N", result,
       "epochs of each stage before the architecture learns"},
      {"regulariser", &O::regulariser, recipe, "NAME", result,
       "what keeps concentrations near 1: l2, kl or none; group: the penalty on switches "
       "(bayesnas)"},
      {"lambda", &O::lambda, recipe, "X", result, "weight of the regulariser"},
      {"cost", &O::cost, recipe, "SPEC", input,
       "let alpha pay for what operations cost: flops, parameters or latency:FILE, a table that "
       "--measure-latency wrote"},
      {"cost-weight", &O::cost_weight, recipe, "X", result,
       "validation loss that the expected cost is worth, in units of what all operations mixed "
       "alike cost"},
  };
}

OptionRows<O> machine_rows() {
  return {
      {"raw-outputs", &O::raw_outputs, machine, "NAME", reporting,
       "store, rebuild-1x1 or rebuild convolution outputs for the backward pass; auto: the first "
       "that fits --memory-limit, without one rebuild-1x1 on a CPU and store on a GPU"},
      {"precision", &O::precision, machine, "NAME", result,
       "fp32, tf32 (convolutions round their inputs) or bf16 (activations are stored in 16 bits), "
       "the latter two on CUDA; auto: bf16 on CUDA for NAS-Bench-201 "
       "networks with a multiple of 8 channels, tf32 on CUDA in the DARTS space, else fp32"},
  };
}

OptionRows<O> make_table() {
  return joined_rows<O>({first_rows(), common_run_rows<O>(), run_rows(), evidence_rows(),
                         common_data_rows<O>(), data_rows(), space_rows(), common_network_rows<O>(),
                         network_rows(), method_rows(), common_recipe_rows<O>(), recipe_rows(),
                         common_machine_rows<O>(), machine_rows()});
}

}  // namespace

template <>
std::span<const OptionOf<O>> options_of<O>() {
  static const OptionRows<O> table = make_table();
  return table;
}

}  // namespace drnas
