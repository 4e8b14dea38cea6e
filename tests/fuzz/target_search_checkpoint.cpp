// SPDX-License-Identifier: MIT
// A search that goes on from a checkpoint, and takes a step with what it has loaded.
#include "nas/search/search_events.h"
#include "tests/fuzz/tiny_runs.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

constexpr std::string_view log_line =
    R"({"epoch":1,"val_loss":1.5,"genotype":"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"})"
    "\n";

bool read(Input input) {
  static const Folder folder;
  static ResumedRun<SearchTask, SearchObserver> run(tiny_search(folder.path() / "run"));
  folder.write("run/checkpoint.safetensors",
               with_configuration(input, run.folder().configuration()));
  folder.write("run/log.jsonl", std::string(log_line) + std::string(log_line));
  return accepts([&] { run.go_on(); });
}

}  // namespace

DRNAS_FUZZ_TARGET(search_checkpoint, read, change_safetensors)
