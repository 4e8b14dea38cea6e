// SPDX-License-Identifier: MIT
#pragma once

namespace drnas::tools {

/// Lets OpenMP threads that wait for work spin for some microseconds only and then sleep: on a busy
/// machine threads that spin take the processor from those they wait for. The runtime reads its
/// settings before main(), so this starts the program again with GOMP_SPINCOUNT set; a user's
/// OMP_WAIT_POLICY or GOMP_SPINCOUNT stays as it is. To be called first in main().
void let_waiting_threads_sleep(char** argv);

}  // namespace drnas::tools
