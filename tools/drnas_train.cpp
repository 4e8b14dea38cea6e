// SPDX-License-Identifier: MIT
#include <exception>
#include <iostream>

#include "nas/run/signals.h"
#include "nas/training/train.h"
#include "tools/cli/train_cli.h"
#include "tools/cli/train_run.h"
#include "tools/cli/wait_policy.h"

namespace drnas::tools {
namespace {

int run(const std::vector<std::string>& arguments) {
  const TrainCommandLine line = parse_train_command_line(arguments, std::cout);
  if (line.answered) return 0;
  if (!line.options.evaluate.empty()) return evaluate_and_report(line.options);
  if (line.options.describe) {
    std::cout << describe_training(line.options);
    return 0;
  }
  if (line.options.dry_run) {
    std::cout << plan_training_run(line.options);
    return 0;
  }
  catch_stop_signals();
  return train_and_report(line.options);
}

}  // namespace
}  // namespace drnas::tools

int main(int argc, char** argv) {
  drnas::tools::let_waiting_threads_sleep(argv);
  try {
    return drnas::tools::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 2;
  }
}
