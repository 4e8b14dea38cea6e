// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "nas/search_events.h"
#include "nas/search_options.h"

namespace drnas {

/// The folder of one search: config.toml, log.jsonl (an object an epoch), genotype.txt,
/// checkpoint.safetensors.
class RunDirectory {
 public:
  /// Without options.resume creates options.out, which must not exist, and writes config.toml. With
  /// it opens the run that is there and compares. Throws Error naming the path: exists, is a file,
  /// cannot be written, is no run; naming the option for one that differs and can change results.
  static RunDirectory open(const SearchOptions& options);
  /// The checks of open() without creating anything, for --dry-run. Throws the same errors.
  static void check(const SearchOptions& options);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path log_path() const { return path_ / "log.jsonl"; }
  std::filesystem::path genotype_path() const { return path_ / "genotype.txt"; }
  std::filesystem::path checkpoint_path() const { return path_ / "checkpoint.safetensors"; }
  /// The stored options that can change results, as TOML lines: what a checkpoint belongs to.
  const std::string& configuration() const { return configuration_; }

  /// Appends one line to log.jsonl and waits until it is on the disk.
  void append_log(const EpochRecord& record) const;
  /// Cuts log.jsonl back to its first `epochs` lines. Throws Error when it has fewer.
  void truncate_log(int epochs) const;
  /// genotype.txt: one line.
  void write_genotype(const std::string& genotype) const;

 private:
  RunDirectory(std::filesystem::path path, const SearchOptions& stored);

  std::filesystem::path path_;
  std::string configuration_;
};

/// One line of log.jsonl, without the line end.
std::string to_json(const EpochRecord& record);

/// Options with which to resume the run in `options.out`: those stored there, and of the options in
/// `given` the ones that cannot change results. Throws Error naming the first given one that
/// differs and can, or the folder when it holds no run.
SearchOptions resume_options(const SearchOptions& options, const std::vector<GivenOption>& given);

}  // namespace drnas
