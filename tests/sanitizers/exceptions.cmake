# What a tool does not run, or not report, and why (cmake/Sanitizer.cmake). A test that is not run counts as disabled in ctest.

drnas_do_not_run(thread "^simt_" "Threads of a kernel are fibers on one thread, which takes turns as the executor says: no race
  can be seen. The engine's own threads are those of the tests without simt_." TARGETS simt_tests simt_test_files)
drnas_do_not_run(thread "^torture$" "Dozens of whole runs, killed at times that fit their usual speed. What threads do in these is in the
  tests of searches and trainings.")
drnas_do_not_run(valgrind "^(build_tools|data_tools|extremes_[A-Za-z]+|functions|fuzz_runner|gpu_check|kernel_cases|layers|report_page|results_page|results_tools|sweep|sweep_table|tensorboard|torture|wait_policy)$"
  "Scripts: they start the programs themselves, without valgrind.")
drnas_do_not_run(valgrind "^simt_" "A stack for each of 1024 fibers, switched at each barrier, would take hours. The executor
  fills memory with NaN and fences it; the address sanitizer runs it." TARGETS simt_tests simt_test_files)
