# drnas: `make search` runs a search, `make test` tests; both install what is missing first. `make help` lists the rest.
BUILD ?= build
PREFIX ?= /usr/local
CMAKE_ARGS ?=
JOBS ?= $(shell nproc)
RUN ?= runs/quick-$(shell date +%Y%m%d-%H%M%S)

.DEFAULT_GOAL := all
.PHONY: all deps search test test-sanitize test-torture check bench bench-peers bench-peers-darts gpu-check install format lint clean help

all: ## build everything into build/, ./drnas_search, ./drnas_train and ./drnas_report
	@mkdir -p $(BUILD)
	@cmake -S . -B $(BUILD) $(if $(shell command -v ninja),-G Ninja) $(CMAKE_ARGS) >$(BUILD)/configure.log 2>&1 \
	  || { cat $(BUILD)/configure.log; exit 1; }
	@cmake --build $(BUILD) -j $(JOBS)

deps: ## install what is missing (Debian packages)
	@tools/install_deps.sh

search: deps ## search on Fashion-MNIST: minutes on two cores
	@$(MAKE) --no-print-directory all
	@tools/run_quick_search.sh $(RUN)

test: deps ## build and run all tests
	@$(MAKE) --no-print-directory all
	ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

test-sanitize: deps ## all tests with address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory all BUILD=build-sanitize CMAKE_ARGS="-DDRNAS_SANITIZE=ON -DDRNAS_BENCH=OFF -DDRNAS_CUDA=OFF"
	ctest --test-dir build-sanitize --output-on-failure -j $(JOBS)

test-torture: deps ## randomised tests repeated with 20 seeds
	@$(MAKE) --no-print-directory all
	@for seed in $$(seq 1 20); do echo "seed $$seed"; \
	  DRNAS_TEST_SEED=$$seed OMP_WAIT_POLICY=passive $(BUILD)/tests/drnas_tests --minimal || exit 1; done

check: test lint ## tests and lint in short form

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
	git ls-files '*.h' '*.cpp' '*.cu' | xargs clang-format -i

lint: ## include direction, vendor headers, file length; clang-tidy where installed
	@python3 tests/check_layers.py .
	@if command -v clang-tidy >/dev/null && [ -f $(BUILD)/compile_commands.json ]; then \
	  git ls-files 'kernels/*.cpp' 'engine/*.cpp' 'data/*.cpp' 'nas/*.cpp' 'tools/*.cpp' | \
	  xargs -P $(JOBS) -n 4 clang-tidy -p $(BUILD) --quiet --extra-arg=-Wno-unknown-warning-option; fi

clean: ## remove build folders
	rm -rf build build-sanitize drnas_search drnas_train drnas_report

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-18s %s\n", $$1, $$2}'
