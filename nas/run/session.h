// SPDX-License-Identifier: MIT
// A run from its options to its result: what searches and trainings have around their loop.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "engine/gpu.h"
#include "nas/run/event_observer.h"
#include "nas/run/run_folder.h"
#include "nas/run/run_loop.h"

namespace drnas {

/// Runs a task, or with options.resume goes on with it, in the folder options.out. Throws Error:
/// bad options, data, run folder or checkpoint; memory budget exceeded; a loss or gradient that is
/// not finite (the last good state is checkpointed first).
template <class Task>
typename Task::Result run_session(const typename Task::Options& options,
                                  RunObserver<typename Task::Record>& observer) {
  options.validate();
  std::string note;
  const Device device = choose_device(options.device, note);
  // Before the plan, whose workspaces depend on the threads.
  const RunResources resources(device, options.threads, options.memory_limit);
  const typename Task::Inputs inputs(options, true);
  apply_precision(options, device);
  const typename Task::Memory memory = inputs.plan(options, device);
  Allocator::of(device).prepare(memory.planned_extents());
  const RunFolder folder = RunFolder::open(options);
  const std::string broken = folder.begin_session(Task::Options::program, options.command, device);
  for (const std::string& line : {note, inputs.dataset.note, memory.note(), broken})
    if (!line.empty()) observer.on_message(line);
  try {
    std::optional<EventObserver<typename Task::Record>> events;
    if (options.tensorboard) events.emplace(observer, folder.events_path());
    RunObserver<typename Task::Record>& told = events ? *events : observer;
    Task task(options, inputs, memory, folder, told, device);
    RunLoop loop(task, folder, told, device, options.checkpoint_every);
    if (options.resume)
      loop.resume();
    else
      loop.begin();
    loop.run();
    return task.result(loop);
  } catch (...) {
    // Nothing was done that is worth keeping (no memory, a first loss that is not finite): leave no
    // folder that would stand in the way of the next try.
    std::error_code ignored;
    if (!options.resume && !std::filesystem::exists(folder.checkpoint_path(), ignored))
      folder.discard();
    throw;
  }
}

}  // namespace drnas
