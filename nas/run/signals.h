// SPDX-License-Identifier: MIT
#pragma once

namespace drnas {

/// From now on the first SIGINT or SIGTERM only sets a flag, so that the step in progress can end
/// and a checkpoint be written; the second one terminates the process at once.
void catch_stop_signals();

/// The signal that asked the process to stop, 0 when none did.
int stop_signal();

}  // namespace drnas
