// SPDX-License-Identifier: MIT
#pragma once

namespace drnas {

/// From now on the first SIGINT, SIGTERM or SIGHUP only sets a flag, so that the step in progress
/// can end and a checkpoint be written; the second one terminates the process at once. A SIGHUP
/// that is ignored, as under nohup, stays so. SIGPIPE is ignored: a run goes on where nobody reads
/// what it prints.
void catch_stop_signals();

/// A write beyond the limit of a file's size fails with EFBIG instead of ending the process.
void let_large_writes_fail();

/// The signal that asked the process to stop, 0 when none did.
int stop_signal();

}  // namespace drnas
