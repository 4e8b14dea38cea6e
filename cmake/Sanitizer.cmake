# DRNAS_SANITIZE names what watches the tests:
#   address    address, undefined-behaviour and leak sanitizers (GCC or Clang)
#   thread     ThreadSanitizer; Clang and its OpenMP, whose tool archer makes barriers and regions known (GCC's cannot be)
#   valgrind   memcheck: memory without a value as well
# The flags go to every target of ours here, the settings to every test in drnas_watch_tests(). What a tool does not run or
# report stands in tests/sanitizers/exceptions.cmake.
set(DRNAS_SANITIZE OFF CACHE STRING "What watches the tests: OFF, address, thread, valgrind")
set_property(CACHE DRNAS_SANITIZE PROPERTY STRINGS OFF address thread valgrind)
option(DRNAS_SANITIZE_KERNELS "Sanitize kernels/ too; OFF compiles these three times as fast" ON)

# What a test's program runs under, the settings of all tests, and what tests/sanitizers/planted.cpp must be caught at.
set(DRNAS_TEST_LAUNCHER "")
set(DRNAS_TEST_ENVIRONMENT "")
set(DRNAS_PLANTED "")
set(DRNAS_SUPPRESSIONS ${PROJECT_BINARY_DIR}/suppressions.txt)
set(DRNAS_SANITIZE_LEVEL -O1 CACHE STRING "Optimisation beside a sanitizer; -O0 compiles in two thirds of the time")
set(DRNAS_SANITIZE_COMPILE ${DRNAS_SANITIZE_LEVEL} -g1 -UNDEBUG -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS)
set(DRNAS_SANITIZE_LINK "")
if(DRNAS_SANITIZE STREQUAL "address")
  set(DRNAS_SANITIZE_LINK -fsanitize=address,undefined,float-cast-overflow)
  list(APPEND DRNAS_SANITIZE_COMPILE ${DRNAS_SANITIZE_LINK} -fno-sanitize-recover=all)
  set(DRNAS_TEST_ENVIRONMENT
      "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:check_initialization_order=1:strict_init_order=1:strict_string_checks=1"
      "LSAN_OPTIONS=suppressions=${DRNAS_SUPPRESSIONS}:print_suppressions=0" "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1")
  set(DRNAS_PLANTED "overflow=heap-buffer-overflow" "leak=detected memory leaks" "undefined=signed integer overflow"
                    "cast=outside the range of representable values")
elseif(DRNAS_SANITIZE STREQUAL "thread")
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "DRNAS_SANITIZE=thread: ${CMAKE_CXX_COMPILER_ID} found, expected Clang (-DCMAKE_CXX_COMPILER=clang++)")
  endif()
  get_filename_component(DRNAS_OPENMP_LIBRARY "${OpenMP_omp_LIBRARY}" REALPATH)
  get_filename_component(DRNAS_OPENMP_FOLDER "${DRNAS_OPENMP_LIBRARY}" DIRECTORY)
  find_library(DRNAS_ARCHER archer HINTS ${DRNAS_OPENMP_FOLDER})
  if(NOT DRNAS_ARCHER)
    message(FATAL_ERROR "DRNAS_SANITIZE=thread: no libarcher found beside ${DRNAS_OPENMP_LIBRARY}; "
                        "`tools/install_deps.sh sanitize` installs it")
  endif()
  set(DRNAS_SANITIZE_LINK -fsanitize=thread)
  list(APPEND DRNAS_SANITIZE_COMPILE ${DRNAS_SANITIZE_LINK})
  # Three threads: on two processors as well ranges are uneven and threads take turns.
  set(DRNAS_TEST_ENVIRONMENT "OMP_TOOL_LIBRARIES=${DRNAS_ARCHER}" "OMP_NUM_THREADS=3"
      "TSAN_OPTIONS=ignore_noninstrumented_modules=1:suppressions=${DRNAS_SUPPRESSIONS}:print_suppressions=0")
  set(DRNAS_PLANTED "race=data race")
elseif(DRNAS_SANITIZE STREQUAL "valgrind")
  find_program(DRNAS_VALGRIND valgrind)
  if(NOT DRNAS_VALGRIND)
    message(FATAL_ERROR "DRNAS_SANITIZE=valgrind: no valgrind found; `tools/install_deps.sh sanitize` installs it")
  endif()
  if(DRNAS_NATIVE)
    message(FATAL_ERROR "DRNAS_SANITIZE=valgrind: valgrind knows no AVX-512, expected -DDRNAS_NATIVE=OFF")
  endif()
  set(DRNAS_TEST_LAUNCHER ${DRNAS_VALGRIND} -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
                          --show-leak-kinds=definite --fair-sched=yes --suppressions=${DRNAS_SUPPRESSIONS})
  set(DRNAS_TEST_ENVIRONMENT "OMP_NUM_THREADS=2")
  set(DRNAS_PLANTED "without_value=depends on uninitialised value" "overflow=Invalid read" "leak=definitely lost")
elseif(DRNAS_SANITIZE)
  message(FATAL_ERROR "DRNAS_SANITIZE=${DRNAS_SANITIZE}: expected OFF, address, thread or valgrind")
endif()
if(DRNAS_SANITIZE)
  target_compile_options(drnas_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${DRNAS_SANITIZE_COMPILE}>")
  target_link_options(drnas_flags INTERFACE ${DRNAS_SANITIZE_LINK})
endif()

# Fuzz targets: the readers with libFuzzer's counters. Not the kernels, which read no files and take most of the time to compile.
if(DRNAS_FUZZ)
  set(DRNAS_FUZZED $<NOT:$<STREQUAL:$<TARGET_PROPERTY:NAME>,drnas_kernels>>)
  target_compile_options(drnas_flags INTERFACE -O1 -g -UNDEBUG -fno-omit-frame-pointer -Wno-pass-failed -Wno-align-mismatch
    $<${DRNAS_FUZZED}:-fsanitize=fuzzer-no-link,address,undefined;-fno-sanitize-recover=all>)
  target_link_options(drnas_flags INTERFACE -fsanitize=address,undefined)
endif()

# Sources that stay without, in the folder of the caller.
function(drnas_do_not_sanitize)
  if(DRNAS_SANITIZE_LINK)
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "-fno-sanitize=all;-O1")
  endif()
endfunction()

# In exceptions.cmake: under TOOL the tests whose names match REGEX are not run. TARGETS: programs that none but these need.
function(drnas_do_not_run TOOL REGEX REASON)
  cmake_parse_arguments(PARSE_ARGV 3 UNUSED "" "" "TARGETS")
  if(NOT DRNAS_SANITIZE STREQUAL TOOL)
    return()
  endif()
  if(REASON STREQUAL "")
    message(FATAL_ERROR "tests/sanitizers/exceptions.cmake: no reason given for ${REGEX}")
  endif()
  get_property(TESTS DIRECTORY PROPERTY TESTS)
  list(FILTER TESTS INCLUDE REGEX "${REGEX}")
  if(NOT TESTS)
    message(FATAL_ERROR "tests/sanitizers/exceptions.cmake: no test matches ${REGEX}")
  endif()
  set_tests_properties(${TESTS} PROPERTIES DISABLED ON)
  if(UNUSED_TARGETS)
    set_target_properties(${UNUSED_TARGETS} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

# In exceptions.cmake: TOOL does not report what LINES say in the tool's own form (for address: LeakSanitizer's).
function(drnas_do_not_report TOOL LINES REASON)
  if(REASON STREQUAL "")
    message(FATAL_ERROR "tests/sanitizers/exceptions.cmake: no reason given for ${LINES}")
  endif()
  if(DRNAS_SANITIZE STREQUAL TOOL)
    string(REGEX REPLACE "[ \n]+" " " REASON "${REASON}")
    file(APPEND ${DRNAS_SUPPRESSIONS} "# ${REASON}\n${LINES}\n")
  endif()
endfunction()

# The end of tests/CMakeLists.txt: settings and exceptions of the tests of that folder.
function(drnas_watch_tests)
  if(NOT DRNAS_SANITIZE)
    return()
  endif()
  file(WRITE ${DRNAS_SUPPRESSIONS} "")
  include(${CMAKE_CURRENT_SOURCE_DIR}/sanitizers/exceptions.cmake)
  get_property(TESTS DIRECTORY PROPERTY TESTS)
  set_property(TEST ${TESTS} APPEND PROPERTY ENVIRONMENT ${DRNAS_TEST_ENVIRONMENT})
endfunction()
