// SPDX-License-Identifier: MIT
// A training's checkpoint or weights file: gone on from, and loaded to be evaluated.
#include "nas/training/train.h"
#include "nas/training/weights_file.h"
#include "tests/fuzz/tiny_runs.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

void evaluate(const fs::path& file, const TrainOptions& options) {
  const auto network = make_derived_network(derived_options(options, 10), 1);
  load_network(file, *network);
  TrainOptions stored = stored_train_options(file);
  stored.out = "unused";  // as the program has it
  stored.validate();
}

bool read(Input input) {
  static const Folder folder;
  static const TrainOptions options = tiny_training(folder.path() / "run");
  static ResumedRun<TrainingTask, TrainObserver> run(options);
  const fs::path file = folder.write("run/checkpoint.safetensors",
                                     with_configuration(input, run.folder().configuration()));
  folder.write("run/log.jsonl", std::string_view("{\"epoch\":1}\n{\"epoch\":2}\n"));
  const bool loaded = accepts([&] { evaluate(file, options); });
  return accepts([&] { run.go_on(); }) || loaded;
}

}  // namespace

DRNAS_FUZZ_TARGET(training_file, read, change_safetensors)
