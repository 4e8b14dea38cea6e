// SPDX-License-Identifier: MIT
#include "tools/cli/wait_policy.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace drnas::tools {

void let_waiting_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  std::error_code unknown;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", unknown);
  // Measured (bench/busy_machine.py): as fast as the runtime's own choice on a quiet machine.
  if (unknown || ::setenv("GOMP_SPINCOUNT", "2000", 1) != 0) return;
  ::execv(program.c_str(), argv);  // comes back where it fails: then threads spin as ever
}

}  // namespace drnas::tools
