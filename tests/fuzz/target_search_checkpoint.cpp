// SPDX-License-Identifier: MIT
// A search that goes on from a checkpoint, and takes a step with what it has loaded.
#include "nas/search/search_events.h"
#include "tests/fuzz/tiny_runs.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

std::string log_line(int epoch) {
  return "{\"epoch\":" + std::to_string(epoch) +
         R"(,"val_loss":1.5,"genotype":"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"})" + "\n";
}

bool read(Input input) {
  static const Folder folder;
  static ResumedRun<SearchTask, SearchObserver> run(tiny_search(folder.path() / "run"));
  folder.write("run/checkpoint.safetensors",
               with_configuration(input, run.folder().configuration()));
  folder.write("run/log.jsonl", log_line(1) + log_line(2));
  return accepts([&] { run.go_on(); });
}

}  // namespace

DRNAS_FUZZ_TARGET(search_checkpoint, read, change_safetensors)
