// SPDX-License-Identifier: MIT
// A run's folder as a search that is resumed reads it: options, log, record of sessions.
#include "nas/run/run_folder.h"

#include "nas/options/option_table.h"
#include "nas/search/search_events.h"
#include "tests/fuzz/run_files.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

void resume(const fs::path& path) {
  SearchOptions given;
  given.out = path;
  given.resume = true;
  const SearchOptions options = resume_options(given, {});
  options.validate();
  const RunFolder folder = RunFolder::open(options);
  folder.begin_session("drnas_search", {"drnas_search"}, Device::cpu);
  const std::int64_t epochs = folder.logged_epochs();
  require(epochs >= 0, "a negative number of epochs");
  folder.truncate_log(static_cast<int>(epochs / 2));
  require(folder.logged_epochs() == epochs / 2, "a log of another number of lines than asked for");
  const auto signs = logged_signs(folder.log_path(), search_space(options.space));
  require(static_cast<std::int64_t>(signs.size()) == epochs / 2, "a line that is no epoch");
}

bool read(Input input) {
  static const Folder folder;
  write_run_files(folder, input);
  return accepts([&] { resume(folder.path()); });
}

}  // namespace

DRNAS_FUZZ_TARGET(run_folder, read, change_run_files)
