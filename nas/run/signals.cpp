// SPDX-License-Identifier: MIT
#include "nas/run/signals.h"

#include <signal.h>

namespace drnas {
namespace {

volatile sig_atomic_t received = 0, hang_ups_ignored = 0;

constexpr int stopping[] = {SIGINT, SIGTERM, SIGHUP};

extern "C" void drnas_note_stop_signal(int number) {
  received = number;
  for (const int each : stopping)
    if (each != SIGHUP || !hang_ups_ignored) signal(each, SIG_DFL);
}

}  // namespace

void catch_stop_signals() {
  received = 0;
  struct sigaction action {};
  action.sa_handler = drnas_note_stop_signal;
  action.sa_flags = SA_RESTART;  // reads and writes in progress are not cut short
  sigemptyset(&action.sa_mask);
  struct sigaction before {};
  hang_ups_ignored = sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler == SIG_IGN;
  for (const int each : stopping)
    if (each != SIGHUP || !hang_ups_ignored) sigaction(each, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void let_large_writes_fail() { signal(SIGXFSZ, SIG_IGN); }

int stop_signal() { return received; }

}  // namespace drnas
