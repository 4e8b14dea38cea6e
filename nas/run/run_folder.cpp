// SPDX-License-Identifier: MIT
#include "nas/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>

#include "engine/descriptor.h"
#include "engine/files.h"
#include "engine/parse_json.h"
#include "nas/run/machine.h"

namespace drnas {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* config_name = "config.toml";

/// Nothing stands there but what a process that was killed at its first write has left.
bool is_free(const fs::path& folder) {
  std::error_code code;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, code)) {
    if (!is_temporary_of(entry.path().filename().native(), config_name)) return false;
  }
  return !code;
}

void fail_if_taken(const fs::path& folder) {
  std::error_code code;
  const fs::file_status status = fs::symlink_status(folder, code);
  if (!fs::exists(status) || (fs::is_directory(status) && is_free(folder))) return;
  throw Error("--out " + folder.string() + " exists" +
              (fs::is_directory(status) ? "" : " and is not a directory") +
              ", expected a new or empty directory (or --resume to continue a run)");
}

[[noreturn]] void fail_to_create(const fs::path& folder, const std::string& reason) {
  throw Error("--out " + folder.string() + ": cannot create the directory: " + reason);
}

/// The deepest part of the path that exists.
fs::path existing_parent(const fs::path& folder) {
  fs::path parent = fs::absolute(folder).lexically_normal();
  std::error_code ignored;
  while (parent.has_relative_path() && !fs::exists(parent, ignored)) parent = parent.parent_path();
  return parent;
}

/// The record of a run's sessions; throws where the file holds something else.
Json read_sessions(const fs::path& file) {
  Json record = parse_json<Json>(read_text_file(file));
  if (!record.at("sessions").is_array()) throw Error("sessions: expected an array");
  return record;
}

/// The lock of a folder, which the system takes back when the process ends, however it ends. A file
/// system without locks has none.
std::shared_ptr<const Descriptor> lock_folder(const fs::path& folder) {
  auto held = std::make_shared<const Descriptor>(folder, O_RDONLY | O_DIRECTORY);
  if (held->valid() && ::flock(held->number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw Error("--out " + folder.string() +
                ": another process works in this folder, expected to be alone there");
  return held;
}

/// The text at the end of the file, on the disk; 0 or the errno of the first failure.
int append_and_sync(const Descriptor& file, const std::string& text) {
  const int code = write_all(file.number(), std::as_bytes(std::span(text)));
  if (code != 0) return code;
  return ::fsync(file.number()) == 0 ? 0 : errno;
}

/// The object of a line of the log is that of an epoch.
bool is_of_epoch(std::string_view line, int epoch) {
  try {
    const Json number = parse_json<Json>(line).at("epoch");
    return number.is_number_integer() && number == epoch;
  } catch (const std::exception&) {
    return false;
  }
}

/// With bytes that are no UTF-8, as a path may have, replaced.
std::string json_text(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

RunFolder::RunFolder(fs::path path, std::string configuration)
    : path_(std::move(path)), configuration_(std::move(configuration)), lock_(lock_folder(path_)) {}

/// Of several processes that begin a run in one folder the first with the lock has it.
RunFolder::RunFolder(fs::path path, std::string configuration, const std::string& config)
    : path_(std::move(path)),
      created_(create(path_)),
      configuration_(std::move(configuration)),
      lock_(lock_folder(path_)) {
  fail_if_taken(path_);
  write_file_atomically(path_ / config_name, config);
}

bool holds_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / config_name, ignored);
}

std::filesystem::path config_file_of(const fs::path& folder) {
  if (!holds_run(folder))
    throw Error("--resume: " + folder.string() + " holds no run, expected a " + config_name +
                " in it; without --resume a run begins there");
  return folder / config_name;
}

void RunFolder::require_new(const fs::path& folder) {
  fail_if_taken(folder);
  require_writable(existing_parent(folder));
}

void RunFolder::require_writable(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw Error("--out " + folder.string() +
                ": is not a directory, expected one that can be written");
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw Error("--out " + folder.string() + ": cannot be written: " + std::strerror(errno));
  }
}

bool RunFolder::create(const fs::path& folder) {
  std::error_code code;
  const fs::path parent = fs::absolute(folder / "").lexically_normal().parent_path().parent_path();
  fs::create_directories(parent, code);
  if (code) fail_to_create(folder, code.message());
  const bool created = fs::create_directory(folder, code);
  if (code) fail_to_create(folder, code.message());
  return created;
}

void RunFolder::discard() const {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_, ignored))
    fs::remove_all(entry.path(), ignored);
  if (created_) fs::remove(path_, ignored);
}

std::string RunFolder::begin_session(const char* program, const std::vector<std::string>& command,
                                     Device device) const {
  Json session = Json::parse(session_facts(device));
  session["command"] = command;
  Json record = {{"program", program}};
  record.update(session);
  record["sessions"] = Json::array();
  std::string warning;
  std::error_code ignored;
  if (fs::exists(session_path(), ignored)) {
    try {
      record = read_sessions(session_path());
    } catch (const std::exception& failure) {
      const fs::path kept = path_ / "run.json.broken";
      fs::rename(session_path(), kept, ignored);
      warning = session_path().string() + ": no record of a run's sessions, kept as " +
                kept.filename().string() + ": " + json_reason(failure);
    }
  }
  const auto threads = record.find("threads");
  if (warning.empty() && threads != record.end() && *threads != session["threads"])
    warning = "threads: " + session["threads"].dump() + ", the run began with " + threads->dump() +
              ": its sums are rounded differently from here on";
  record["sessions"].push_back(session);
  write_file_atomically(session_path(), json_text(record));
  return warning;
}

void RunFolder::append_log(const std::string& json) const {
  const Descriptor file(log_path(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW);
  if (!file.valid()) fail_with_errno("write", log_path(), errno);
  const off_t end = ::lseek(file.number(), 0, SEEK_END);
  const int code = append_and_sync(file, json + "\n");
  if (code == 0) return;
  if (end >= 0) std::ignore = ::ftruncate(file.number(), end);  // else resuming cuts it off
  fail_with_errno("write", log_path(), code);
}

std::int64_t RunFolder::logged_epochs() const {
  std::error_code ignored;
  if (!fs::exists(log_path(), ignored)) return 0;
  const std::string text = read_text_file(log_path());
  return std::count(text.begin(), text.end(), '\n');
}

void RunFolder::truncate_log(int epochs) const {
  std::error_code ignored;
  std::string text = fs::exists(log_path(), ignored) ? read_text_file(log_path()) : "";
  std::size_t end = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const std::size_t line_end = text.find('\n', end);
    if (line_end == std::string::npos)
      throw Error(log_path().string() + ": " + std::to_string(epoch) + " whole lines, expected " +
                  std::to_string(epochs) + ", one for each epoch of the checkpoint");
    if (!is_of_epoch(std::string_view(text).substr(end, line_end - end), epoch + 1))
      throw Error(log_path().string() + " line " + std::to_string(epoch + 1) +
                  ": is no record of epoch " + std::to_string(epoch + 1) +
                  ", expected those of the checkpoint's " + std::to_string(epochs) + " epochs");
    end = line_end + 1;
  }
  if (end == text.size()) return;
  text.resize(end);
  write_file_atomically(log_path(), text);
}

void RunFolder::write_genotype(const std::string& genotype) const {
  const std::string text = genotype + "\n";
  std::error_code ignored;
  // Most epochs, and the end of a search after its last one, change nothing.
  if (fs::is_regular_file(genotype_path(), ignored) && read_text_file(genotype_path()) == text)
    return;
  write_file_atomically(genotype_path(), text);
}

}  // namespace drnas
