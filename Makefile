# drnas: `make search` runs a search, `make test` tests; both install what is missing first. `make help` lists the rest.
# Settings of builds stand in CMakePresets.json; CMAKE_ARGS come after them.
BUILD ?= build
PRESET ?= default
PREFIX ?= /usr/local
CMAKE_ARGS ?=
JOBS ?= $(shell nproc)
# Options of tests/torture/torture.py, as in --seed 2 or --only disk.
TORTURE_ARGS ?=
RUN ?= runs/quick-$(shell date +%Y%m%d-%H%M%S)
S ?= 600

# Ninja where it is, unless the folder was made without.
generator = $$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' $(BUILD)/CMakeCache.txt 2>/dev/null | grep . \
  || { command -v ninja >/dev/null && echo Ninja; } || echo Unix Makefiles)
# $(call configure,SETTINGS): quiet, with the whole log where it fails.
configure = mkdir -p $(BUILD); cmake $(1) -S . -B $(BUILD) -G "$(generator)" $(CMAKE_ARGS) >$(BUILD)/configure.log 2>&1 \
  || { cat $(BUILD)/configure.log; exit 1; }

.DEFAULT_GOAL := all
.PHONY: all programs quick-sanitized deps search test test-sanitize test-sanitize-quick test-torture fuzz fuzz-targets check check-aarch64 \
  bench bench-peers bench-peers-darts gpu-check install format lint clean help

all: ## build everything into build/, ./drnas_search, ./drnas_train and ./drnas_report; CUDA for the card that is there
	@$(call configure,--preset $(PRESET))
	@cmake --build $(BUILD) -j $(JOBS)

# The programs alone, CUDA only where a card is. In the folder of `all`, so that `make` or `make test` go on with these
# objects: they add tests and benchmarks by configuring again, a second or two. A folder that is there keeps its settings, so
# that a search after `make` builds nothing. Only where nvcc is found but no card do the two differ in CUDA; there `make`
# compiles the engine once more, with its CUDA side, which a search could not use.
programs:
	@if [ -f $(BUILD)/CMakeCache.txt ]; then settings=; else settings="--preset search"; fi; $(call configure,$$settings)
	@cmake --build $(BUILD) -j $(JOBS) --target drnas_search drnas_report drnas_train

deps: ## install what is missing (Debian packages)
	@tools/install_deps.sh build

search: ## search on Fashion-MNIST: minutes on two cores; installs and builds only what that needs
	@tools/install_deps.sh search
	@$(MAKE) --no-print-directory programs
	@tools/run_quick_search.sh $(RUN)

test: deps ## build and run all tests
	@$(MAKE) --no-print-directory all
	ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

# The address preset bears the older name.
SANITIZER ?= address
watched = $(if $(filter address,$(SANITIZER)),sanitize,$(SANITIZER))

test-sanitize: ## all tests with address, undefined-behaviour and leak sanitizers (SANITIZER=thread, =valgrind: with these)
	@case "$(SANITIZER)" in address | thread | valgrind) ;; \
	  *) echo "error: SANITIZER=$(SANITIZER), expected address, thread or valgrind" >&2; exit 2 ;; esac
	@tools/install_deps.sh $(if $(filter address,$(SANITIZER)),build,sanitize)
	@$(MAKE) --no-print-directory all PRESET=$(watched) BUILD=build-$(watched)
	ctest --test-dir build-$(watched) --output-on-failure -j $(JOBS)

test-sanitize-quick: deps ## readers, files, run folders, options and programs with address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory quick-sanitized PRESET=sanitize-quick BUILD=build-sanitize-quick
	ctest --test-dir build-sanitize-quick -L sanitize-quick --output-on-failure -j $(JOBS)

quick-sanitized:
	@$(call configure,--preset $(PRESET))
	@cmake --build $(BUILD) -j $(JOBS) --target quick_tests fuzz_corpora planted

test-torture: deps ## randomised tests with 20 seeds; kills, signals, full disks, two at once: a quarter of an hour
	@$(MAKE) --no-print-directory all
	@for seed in $$(seq 1 20); do echo "seed $$seed"; \
	  DRNAS_TEST_SEED=$$seed OMP_WAIT_POLICY=passive $(BUILD)/tests/drnas_tests --minimal || exit 1; done
	python3 tests/extremes/extremes_test.py $(BUILD) --all
	@tests/torture/torture.py --programs $(BUILD) --long $(TORTURE_ARGS)

fuzz: ## fuzz all readers with libFuzzer and sanitizers for S seconds (FUZZ_TARGETS="cache image": these alone)
	@tools/install_deps.sh sanitize
	@$(MAKE) --no-print-directory fuzz-targets BUILD=build-fuzz
	@tests/fuzz/run_fuzz.py --build build-fuzz --seconds $(S) $(FUZZ_TARGETS)

fuzz-targets:
	@$(call configure,--preset fuzz)
	@cmake --build $(BUILD) -j $(JOBS) --target fuzz_targets

check: deps ## before a release: lint, then all tests of a build that travels, with all CUDA architectures
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory all PRESET=release BUILD=build-release
	ctest --test-dir build-release --output-on-failure -j $(JOBS)

check-aarch64: ## cross build for aarch64, kernel tests under qemu
	@tools/check_aarch64.sh

bench: all ## step and kernel benchmarks on this machine
	$(BUILD)/bench/bench_step --space nas-bench-201 --json $(BUILD)/bench_step.json
	$(BUILD)/bench/bench_kernels

bench-peers: all ## both steps beside PyTorch, K 1, 2, 4, 8
	python3 bench/peers/compare.py

bench-peers-darts: all ## the same in the DARTS space: search steps, a derived network's training step
	python3 bench/peers/compare.py --space darts

gpu-check: ## tests and measures on this machine's GPU, ten minutes (GPU_CHECK_ARGS: options of tools/gpu/gpu_check.sh)
	@tools/gpu/gpu_check.sh $(GPU_CHECK_ARGS)

install: all ## headers, libraries, CMake package and programs under PREFIX
	cmake --install $(BUILD) --prefix $(PREFIX)

format: ## clang-format over all sources
	@tools/lint.sh --format

lint: ## layout, include direction, vendor headers, length of files and functions; clang-tidy on all sources
	@tools/install_deps.sh lint
	@tools/lint.sh

clean: ## remove build folders
	rm -rf build build-cpu build-fuzz build-gpu build-sanitize build-sanitize-quick build-thread build-valgrind build-release \
	  build-lint build-aarch64 drnas_search drnas_train drnas_report

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-20s %s\n", $$1, $$2}'
