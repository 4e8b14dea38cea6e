// SPDX-License-Identifier: MIT
#include "nas/run/signals.h"

#include <signal.h>

namespace drnas {
namespace {

volatile sig_atomic_t received = 0;

constexpr int stopping[] = {SIGINT, SIGTERM, SIGHUP};

extern "C" void drnas_note_stop_signal(int number) {
  received = number;
  for (const int each : stopping) signal(each, SIG_DFL);
}

}  // namespace

void catch_stop_signals() {
  received = 0;
  struct sigaction action {};
  action.sa_handler = drnas_note_stop_signal;
  action.sa_flags = SA_RESTART;  // reads and writes in progress are not cut short
  sigemptyset(&action.sa_mask);
  for (const int each : stopping) {
    struct sigaction before {};
    const bool ignored = sigaction(each, nullptr, &before) == 0 && before.sa_handler == SIG_IGN;
    if (each != SIGHUP || !ignored) sigaction(each, &action, nullptr);
  }
  signal(SIGPIPE, SIG_IGN);
}

void let_large_writes_fail() { signal(SIGXFSZ, SIG_IGN); }

int stop_signal() { return received; }

}  // namespace drnas
