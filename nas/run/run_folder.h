// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/device.h"
#include "nas/options/option_check.h"

namespace drnas {

/// The folder of one search or training: config.toml, log.jsonl (an object an epoch), genotype.txt,
/// checkpoint.safetensors, run.json (what ran it); of a training also weights.safetensors.
class RunFolder {
 public:
  /// Without options.resume creates options.out, which must not exist or be an empty directory, and
  /// writes config.toml. With it opens the run that is there and compares. Throws Error naming the
  /// path: exists, is a file, cannot be written, holds no run; naming the option for one that
  /// differs and can change results.
  template <class Options>
  static RunFolder open(const Options& options);
  /// The checks of open() without creating anything, for --dry-run. Throws the same errors.
  template <class Options>
  static void check(const Options& options);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path log_path() const { return path_ / "log.jsonl"; }
  /// The folder of --tensorboard.
  std::filesystem::path events_path() const { return path_ / "tensorboard"; }
  std::filesystem::path session_path() const { return path_ / "run.json"; }
  /// Of --select: a line a decision.
  std::filesystem::path selection_path() const { return path_ / "selection.jsonl"; }
  std::filesystem::path genotype_path() const { return path_ / "genotype.txt"; }
  std::filesystem::path checkpoint_path() const { return path_ / "checkpoint.safetensors"; }
  std::filesystem::path weights_path() const { return path_ / "weights.safetensors"; }
  /// The stored options that can change results or say where the images lie, as TOML lines: what a
  /// checkpoint belongs to.
  const std::string& configuration() const { return configuration_; }

  /// Adds this process to run.json: the program, what session_facts() says and the command; a new
  /// run's facts stand at the top as well as first in the list `sessions`, to which each resumed
  /// one is added. A run.json that cannot be understood is kept as run.json.broken, and a new one
  /// begun: the results do not depend on it. Returns a line that says so, or that this session has
  /// another number of threads than the first, or an empty one.
  std::string begin_session(const char* program, const std::vector<std::string>& command,
                            Device device) const;
  /// Appends one line, given without its end, to log.jsonl and waits until it is on the disk. Where
  /// that fails the log is as before.
  void append_log(const std::string& json) const;
  /// Whole lines of log.jsonl.
  std::int64_t logged_epochs() const;
  /// Cuts log.jsonl back to its first `epochs` lines. Throws Error, and changes nothing, where line
  /// i of these is not of epoch i, or missing.
  void truncate_log(int epochs) const;
  /// genotype.txt: one line.
  void write_genotype(const std::string& genotype) const;
  /// Removes a run that came to nothing; the folder too where open() has created it.
  void discard() const;

 private:
  /// One process at a time: holds a lock of the folder as long as copies of this object live, and
  /// throws Error where another one does.
  RunFolder(std::filesystem::path path, std::string configuration);
  /// Of a new run, with the text of its config.toml.
  RunFolder(std::filesystem::path path, std::string configuration, const std::string& config);
  /// Throws Error where a new run cannot be created there, or an old one not be written.
  static void require_new(const std::filesystem::path& folder);
  static void require_writable(const std::filesystem::path& folder);
  /// Creates all of the path; false where it is there.
  static bool create(const std::filesystem::path& folder);

  std::filesystem::path path_;
  bool created_ = false;
  std::string configuration_;
  std::shared_ptr<const void> lock_;
};

/// The folder holds the options of a run.
bool holds_run(const std::filesystem::path& folder);

/// The file of a run's options. Throws Error naming the folder where there is none.
std::filesystem::path config_file_of(const std::filesystem::path& folder);

/// The options that can change results and where the images lay, as TOML lines.
template <class Options>
std::string result_options(const Options& options) {
  std::string text;
  for (const OptionOf<Options>& info : options_of<Options>())
    if (info.role == OptionRole::result || info.role == OptionRole::input)
      text += std::string(info.name) + " = " + option_toml(options, info) + "\n";
  return text;
}

/// Those of the run in a folder. Throws Error naming the folder, or its file and line.
template <class Options>
Options stored_options(const std::filesystem::path& folder) {
  const std::filesystem::path file = config_file_of(folder);
  const std::vector<GivenOption> config = read_config(file, config_keys<Options>());
  auto options = Options::from_config(config);
  options.out = folder;
  validate_given(options, config);
  // Sums are rounded as they are shared between threads.
  if (std::none_of(config.begin(), config.end(), [](const auto& o) { return o.name == "threads"; }))
    throw Error(file.string() + ": no threads, expected the number that the run was started with");
  return options;
}

/// Throws Error naming an option whose value for a run that is to go on is not the stored one, and
/// that can change results.
template <class Options>
void require_same(const Options& stored, const Options& wanted, const OptionOf<Options>& info,
                  const std::filesystem::path& folder) {
  if (info.role != OptionRole::result || same_option(stored, wanted, info)) return;
  throw Error("--" + std::string(info.name) + " " + option_toml(wanted, info) + ": expected " +
              option_toml(stored, info) + ", with which the run in " + folder.string() +
              " was started (--resume)");
}

/// Options with which to resume the run in `options.out`: those stored there, and of the options in
/// `given` the ones that cannot change results, and actions. Throws Error naming the first given
/// one that differs and can, or the folder when it holds no run.
template <class Options>
Options resume_options(const Options& options, const std::vector<GivenOption>& given) {
  auto resumed = stored_options<Options>(options.out);
  for (const GivenOption& option : given) {
    const OptionOf<Options>* info = find_option_of<Options>(option.name);
    if (info == nullptr) throw Error(option.where + ": unknown option");
    require_same(resumed, options, *info, options.out);
    if (info->role == OptionRole::reporting || info->role == OptionRole::input)
      copy_option(resumed, options, *info);
  }
  for (const OptionOf<Options>& info : options_of<Options>())
    if (info.role == OptionRole::place || info.role == OptionRole::action)
      copy_option(resumed, options, info);
  return resumed;
}

template <class Options>
void RunFolder::check(const Options& options) {
  if (options.out.empty()) throw Error("--out: expected the folder of the run");
  if (!options.resume) return require_new(options.out);
  const auto stored = stored_options<Options>(options.out);
  for (const OptionOf<Options>& info : options_of<Options>())
    require_same(stored, options, info, options.out);
  require_writable(options.out);
}

template <class Options>
RunFolder RunFolder::open(const Options& options) {
  check(options);
  if (options.resume) return {options.out, result_options(stored_options<Options>(options.out))};
  return {options.out, result_options(options), options.to_toml()};
}

}  // namespace drnas
