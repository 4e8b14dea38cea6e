# What a tool does not run, or not report, and why (cmake/Sanitizer.cmake). A test that is not run counts as disabled in ctest.

drnas_do_not_run(thread "^simt_" "Threads of a kernel are fibers on one thread, which takes turns as the executor says: no race
  can be seen. The engine's own threads are those of the tests without simt_." TARGETS simt_tests)
drnas_do_not_run(valgrind "^simt_" "A stack for each of 1024 fibers, switched at each barrier, would take hours. The executor
  fills memory with NaN and fences it; the address sanitizer runs it." TARGETS simt_tests)
