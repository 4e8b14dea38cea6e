// SPDX-License-Identifier: MIT
#include "nas/option_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <type_traits>

#include "kernels/error.h"

namespace drnas {
namespace {

using O = SearchOptions;
using enum OptionRole;

constexpr std::string_view recipe = "Recipe", network = "Network", data = "Data",
                           machine = "Machine", run = "Run";

const std::array<OptionInfo, 51> table{{
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
}};

/// The whole text as a number.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

/// 512M, 2GiB, 1000: powers of 1024.
std::optional<std::int64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view units = "KMGT";
  if (text.ends_with("iB")) text.remove_suffix(2);
  int shift = 0;
  if (const std::size_t unit = text.empty() ? units.npos : units.find(text.back());
      unit != units.npos) {
    shift = 10 * (static_cast<int>(unit) + 1);
    text.remove_suffix(1);
  }
  const auto number = parse_number<std::int64_t>(text);
  if (!number || *number < 0 || *number > (std::numeric_limits<std::int64_t>::max() >> shift))
    return {};
  return *number << shift;
}

/// A,B,C, also with spaces after the commas.
template <class Number>
std::optional<std::vector<Number>> parse_list(std::string_view text) {
  std::vector<Number> values;
  while (!text.empty()) {
    const std::size_t end = text.find(',');
    std::string_view part = text.substr(0, end);
    part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
    part = part.substr(0, part.find_last_not_of(' ') + 1);
    const auto value = parse_number<Number>(part);
    if (!value || end == text.size() - 1) return {};
    values.push_back(*value);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return values;
}

std::string number_text(auto value) {
  std::array<char, 32> buffer;
  // Shortest form that reads back to the same value.
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

template <class Number>
std::string list_text(const std::vector<Number>& values, std::string_view separator) {
  std::string text;
  for (const Number value : values)
    text += (text.empty() ? "" : std::string(separator)) + number_text(value);
  return text;
}

/// Calls `parse`, which gives an optional, and fails with what was expected when it is empty.
template <class T>
T value_or_fail(std::optional<T> value, const std::string& text, const std::string& where,
                const char* expected) {
  if (!value) throw Error(where + ": '" + text + "', expected " + expected);
  return *value;
}

template <class T>
T parse_value(const OptionInfo& info, const std::string& text, const std::string& where) {
  if constexpr (std::is_same_v<T, bool>) {
    if (text != "true" && text != "false")
      throw Error(where + ": '" + text + "', expected true or false");
    return text == "true";
  } else if constexpr (std::is_same_v<T, std::vector<std::uint64_t>> ||
                       std::is_same_v<T, std::vector<int>>) {
    return value_or_fail(parse_list<typename T::value_type>(text), text, where,
                         "integers separated by commas");
  } else if constexpr (std::is_same_v<T, double>) {
    return value_or_fail(parse_number<double>(text), text, where, "a number");
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    return value_or_fail(parse_number<T>(text), text, where,
                         "an integer of 0 to 18446744073709551615");
  } else if constexpr (std::is_integral_v<T>) {
    if (info.bytes) {
      return static_cast<T>(value_or_fail(parse_bytes(text), text, where,
                                          "a number of bytes, as in 1000000, 512M or 2G"));
    }
    return value_or_fail(parse_number<T>(text), text, where, "an integer");
  } else {
    return T(text);
  }
}

std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr std::string_view digits = "0123456789abcdef";
      quoted += "\\u00";
      quoted += digits[byte >> 4];
      quoted += digits[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

/// TOML tells floats from integers and writes infinity as inf.
std::string toml_float(double value) {
  const std::string text = number_text(value);
  return text.find_first_of(".ein") == std::string::npos ? text + ".0" : text;
}

}  // namespace

std::span<const OptionInfo> option_table() { return table; }

const OptionInfo* find_option(std::string_view name) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const auto& info) { return info.name == name; });
  return found == table.end() ? nullptr : &*found;
}

std::string option_text(const SearchOptions& options, const OptionInfo& info) {
  return std::visit(
      [&](auto member) -> std::string {
        const auto& value = options.*member;
        using T = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return value;
        } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
          return value.string();
        } else if constexpr (std::is_same_v<T, bool>) {
          return value ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::vector<std::uint64_t>> ||
                             std::is_same_v<T, std::vector<int>>) {
          return list_text(value, ",");
        } else {
          return number_text(value);
        }
      },
      info.member);
}

std::string option_toml(const SearchOptions& options, const OptionInfo& info) {
  if (std::holds_alternative<std::string O::*>(info.member) ||
      std::holds_alternative<std::filesystem::path O::*>(info.member)) {
    return toml_string(option_text(options, info));
  }
  if (const auto* seeds = std::get_if<std::vector<std::uint64_t> O::*>(&info.member)) {
    return "[" + list_text(options.**seeds, ", ") + "]";
  }
  if (const auto* list = std::get_if<std::vector<int> O::*>(&info.member)) {
    return "[" + list_text(options.**list, ", ") + "]";
  }
  if (const auto* real = std::get_if<double O::*>(&info.member)) return toml_float(options.**real);
  return option_text(options, info);
}

void set_option(SearchOptions& options, const OptionInfo& info, const std::string& text,
                const std::string& where) {
  std::visit(
      [&](auto member) {
        options.*member =
            parse_value<std::remove_cvref_t<decltype(options.*member)>>(info, text, where);
      },
      info.member);
}

void copy_option(SearchOptions& to, const SearchOptions& from, const OptionInfo& info) {
  std::visit([&](auto member) { to.*member = from.*member; }, info.member);
}

bool same_option(const SearchOptions& a, const SearchOptions& b, const OptionInfo& info) {
  return std::visit([&](auto member) { return a.*member == b.*member; }, info.member);
}

}  // namespace drnas
