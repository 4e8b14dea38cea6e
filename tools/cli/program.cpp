// SPDX-License-Identifier: MIT
#include "tools/cli/program.h"

#include <exception>
#include <iostream>
#include <new>

#include "kernels/core/error.h"
#include "nas/run/signals.h"
#include "tools/cli/text.h"
#include "tools/cli/wait_policy.h"

namespace drnas::tools {

int run_program(int argc, char** argv, int (*run)(const std::vector<std::string>& arguments)) {
  let_waiting_threads_sleep(argv);
  let_large_writes_fail();
  try {
    const int status = run({argv + 1, argv + argc});
    // A run that was stopped says so: its terminal may be gone.
    if (status == 0 && !std::cout.flush())
      throw Error("cannot write to standard output: full, or closed");
    return status;
  } catch (const std::bad_alloc&) {
    std::cerr << "error: out of memory" << std::endl;
  } catch (const std::exception& error) {
    std::cerr << error_line(error.what()) << std::endl;
  }
  return 2;
}

}  // namespace drnas::tools
