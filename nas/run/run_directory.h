// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kernels/core/device.h"
#include "nas/options/option_info.h"
#include "nas/options/search_options.h"
#include "nas/search/search_events.h"

namespace drnas {

/// The folder of one search or training: config.toml, log.jsonl (an object an epoch), genotype.txt,
/// checkpoint.safetensors, run.json (what ran it); of a training also weights.safetensors.
class RunDirectory {
 public:
  /// Without options.resume creates options.out, which must not exist, and writes config.toml. With
  /// it opens the run that is there and compares. Throws Error naming the path: exists, is a file,
  /// cannot be written, is no run; naming the option for one that differs and can change results.
  template <class Options>
  static RunDirectory open(const Options& options);
  /// The checks of open() without creating anything, for --dry-run. Throws the same errors.
  template <class Options>
  static void check(const Options& options);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path log_path() const { return path_ / "log.jsonl"; }
  /// The folder of --tensorboard.
  std::filesystem::path events_path() const { return path_ / "tensorboard"; }
  std::filesystem::path session_path() const { return path_ / "run.json"; }
  std::filesystem::path genotype_path() const { return path_ / "genotype.txt"; }
  std::filesystem::path checkpoint_path() const { return path_ / "checkpoint.safetensors"; }
  std::filesystem::path weights_path() const { return path_ / "weights.safetensors"; }
  /// The stored options that can change results, as TOML lines: what a checkpoint belongs to.
  const std::string& configuration() const { return configuration_; }

  /// Enters this process into run.json: the program, what session_facts() says and the command; a
  /// new run's facts stand at the top as well as first in the list `sessions`, to which each
  /// resumed one is added. A run.json that cannot be understood is kept as run.json.broken, and a
  /// new one begun: the results do not depend on it. Returns a line that says so, or an empty one.
  template <class Options>
  std::string begin_session(const Options& options, Device device) const {
    return begin_session(Options::program, options.command, device);
  }
  /// Appends one line to log.jsonl and waits until it is on the disk.
  template <class Record>
  void append_log(const Record& record) const {
    append_line(to_json(record));
  }
  /// Cuts log.jsonl back to its first `epochs` lines. Throws Error when it has fewer.
  void truncate_log(int epochs) const;
  /// genotype.txt: one line.
  void write_genotype(const std::string& genotype) const;

 private:
  RunDirectory(std::filesystem::path path, std::string configuration)
      : path_(std::move(path)), configuration_(std::move(configuration)) {}
  std::string begin_session(const char* program, const std::vector<std::string>& command,
                            Device device) const;
  void append_line(const std::string& json) const;

  std::filesystem::path path_;
  std::string configuration_;
};

/// One line of log.jsonl, without the line end.
std::string to_json(const EpochRecord& record);

/// Options with which to resume the run in `options.out`: those stored there, and of the options in
/// `given` the ones that cannot change results, and actions. Throws Error naming the first given
/// one that differs and can, or the folder when it holds no run.
template <class Options>
Options resume_options(const Options& options, const std::vector<GivenOption>& given);

/// The options that can change results, as TOML lines.
template <class Options>
std::string result_options(const Options& options) {
  std::string text;
  for (const OptionOf<Options>& info : options_of<Options>())
    if (info.role == OptionRole::result)
      text += std::string(info.name) + " = " + option_toml(options, info) + "\n";
  return text;
}

}  // namespace drnas
