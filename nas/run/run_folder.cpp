// SPDX-License-Identifier: MIT
#include "nas/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "kernels/core/error.h"
#include "nas/run/machine.h"

namespace drnas {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* config_name = "config.toml";

void fail_if_there(const fs::path& folder) {
  std::error_code code;
  const fs::file_status status = fs::symlink_status(folder, code);
  if (!fs::exists(status)) return;
  throw Error("--out " + folder.string() + " exists" +
              (fs::is_directory(status) ? "" : " and is not a directory") +
              ", expected a new directory (or --resume to continue a run)");
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

[[noreturn]] void fail_to_append(const fs::path& file) {
  throw Error("cannot write " + file.string() + ": " + std::strerror(errno));
}

/// The record of a run's sessions; throws where the file holds something else.
Json read_sessions(const fs::path& file) {
  Json record = Json::parse(read_text_file(file));
  if (!record.at("sessions").is_array()) throw Error("sessions: expected an array");
  return record;
}

/// A lock of a folder, which the system takes back when the process ends, however it ends. A file
/// system without locks has none.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
      return;
    ::close(descriptor_);
    throw Error("--out " + folder.string() +
                ": another process works in this folder, expected to be alone there");
  }
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

/// With bytes that are no UTF-8, as a path may have, replaced.
std::string json_text(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

RunFolder::RunFolder(fs::path path, std::string configuration)
    : path_(std::move(path)),
      configuration_(std::move(configuration)),
      lock_(std::make_shared<FolderLock>(path_)) {}

std::filesystem::path config_file_of(const fs::path& folder) {
  fs::path file = folder / config_name;
  std::error_code ignored;
  if (!fs::exists(file, ignored))
    throw Error("--resume: " + folder.string() + " holds no run, expected a " + config_name +
                " in it");
  return file;
}

void RunFolder::require_new(const fs::path& folder) {
  fail_if_there(folder);
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

/// Creates all of the path; two runs that race for one folder do not share it.
void RunFolder::create(const fs::path& folder, const std::string& config) {
  std::error_code code;
  const fs::path parent = fs::absolute(folder / "").lexically_normal().parent_path().parent_path();
  fs::create_directories(parent, code);
  if (code) fail_to_create(folder, code.message());
  const bool created = fs::create_directory(folder, code);
  if (code) fail_to_create(folder, code.message());
  if (!created) fail_if_there(folder);
  write_file_atomically(folder / config_name, config);
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
                kept.filename().string() + ": " + failure.what();
    }
  }
  record["sessions"].push_back(session);
  write_file_atomically(session_path(), json_text(record));
  return warning;
}

void RunFolder::append_log(const std::string& json) const {
  const std::string line = json + "\n";
  const fs::path file = log_path();
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_to_append(file);
  std::string_view rest = line;
  bool good = true;
  while (good && !rest.empty()) {
    const ssize_t written = ::write(descriptor, rest.data(), rest.size());
    if (written >= 0) rest.remove_prefix(static_cast<std::size_t>(written));
    good = written >= 0 || errno == EINTR;
  }
  good = good && ::fsync(descriptor) == 0;
  const int code = errno;
  ::close(descriptor);
  errno = code;
  if (!good) fail_to_append(file);
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
    if (line_end == std::string::npos) {
      throw Error(log_path().string() + ": " + std::to_string(epoch) + " whole lines, expected " +
                  std::to_string(epochs) + ", one for each epoch of the checkpoint");
    }
    end = line_end + 1;
  }
  if (end == text.size()) return;
  text.resize(end);
  write_file_atomically(log_path(), text);
}

void RunFolder::write_genotype(const std::string& genotype) const {
  write_file_atomically(genotype_path(), genotype + "\n");
}

}  // namespace drnas
