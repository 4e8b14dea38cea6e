// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "kernels/core/device.h"

namespace drnas {

/// The processor's name; "unknown" where /proc/cpuinfo has none.
std::string processor();
/// The machine's memory in bytes; 0 where the system does not tell.
std::int64_t machine_memory();
/// Throws Error where tensors need more than the whole machine has; of a GPU its allocator says so.
void require_memory(std::int64_t bytes, Device device);
/// The time as "2026-01-31T23:59:59Z".
std::string utc_time();

/// What ran a session of a run: program and machine as a JSON object with the keys started (now,
/// UTC), version, commit, compiler, device (cpu or cuda), processor, cores, threads (of this
/// process now), memory_bytes, onednn; on CUDA gpu; cuda and cudnn where they were built in.
std::string session_facts(Device device);

}  // namespace drnas
