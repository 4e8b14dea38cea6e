// SPDX-License-Identifier: MIT
#include "nas/run/signals.h"

#include <signal.h>

namespace drnas {
namespace {

volatile sig_atomic_t received = 0;

extern "C" void drnas_note_stop_signal(int number) {
  received = number;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
}

}  // namespace

void catch_stop_signals() {
  received = 0;
  struct sigaction action {};
  action.sa_handler = drnas_note_stop_signal;
  action.sa_flags = SA_RESTART;  // reads and writes in progress are not cut short
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int stop_signal() { return received; }

}  // namespace drnas
