# make            lists all targets
# Each target does all the set-up that it needs. As root on Debian 12 it installs packages; elsewhere it uses what is
# installed, and says in one line what it leaves out.

PYTHON ?= python3
BIN := .venv/bin
# gcc and the headers of Python compile the core, bcc records
PACKAGES := python3-bpfcc linux-libc-dev python3-venv python3-dev gcc libc6-dev
TEST_PACKAGES := chromium
REST_PACKAGES := golang-1.19-go
NATIVE_PACKAGES := clang libclang-rt-dev
# no bytecode at installation: Python compiles a module when it is first imported
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
PYTEST := $(BIN)/python -m pytest -q
# tests/support has the code that tests and tools share
SUPPORT := PYTHONPATH=tests $(BIN)/python
# a system test spends half its time waiting for the kernel to remove probes: run two tests for each core
SYSTEM := --numprocesses=$$((2 * $$(nproc))) --dist=loadgroup
export MAPPROBE_CACHE ?= $(CURDIR)/.build/cache
# with it each of a thousand processes would compile its imports again
unexport PYTHONDONTWRITEBYTECODE

CORE := src/mapprobe/_core.abi3.so
CORE_SOURCES := meson.build meson.options src/core/meson.build $(wildcard src/core/*.[ch])
# meson and ninja find each other by the path, whether the virtual environment is activated or not
MESON := PATH=$(CURDIR)/$(BIN):$$PATH meson
NINJA := PATH=$(CURDIR)/$(BIN):$$PATH ninja --quiet
READY := .venv/ready core main-toolchains

.DEFAULT_GOAL := help
.PHONY: help setup core main-toolchains toolchains demo test test-rest test-all quick check check-native format \
  explore fuzz traces docs notebooks bench matrix others servers overhead rounds clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready core toolchains ## Debian packages, virtual environment, native core, Go toolchains

# in three steps: the build tools; mapprobe itself, which runs after that; packages for tests and checks
.venv/base:
	@sh tools/packages.sh 'the build of the core, recording' $(PACKAGES)
	@$(PYTHON) -m venv .venv
	@$(PIP) meson-python ninja
	@touch $@

.venv/runs: pyproject.toml | .venv/base
	@$(PIP) --no-build-isolation --editable .
	@touch $@

.venv/ready: .venv/runs
	@sh tools/packages.sh 'tests of the page in a browser' $(TEST_PACKAGES)
	@$(PIP) 'mapprobe[dev]'
	@touch $@

core: $(CORE) ## compile src/core, if it has changed
	@:

# `pip install` builds the core once; after that only files that have changed are compiled
$(CORE): $(CORE_SOURCES) | .venv/runs
	@[ -f $@ ] && [ -z "$$(find $(CORE_SOURCES) -newer $@)" ] || { mkdir -p .build && \
	{ [ -f .build/core/build.ninja ] || $(MESON) setup .build/core >.build/core.log || { cat .build/core.log; exit 1; }; } && \
	$(NINJA) -C .build/core src/core/_core.abi3.so && \
	cp .build/core/src/core/_core.abi3.so $@.new && mv $@.new $@; }

main-toolchains: .venv/base
	@$(BIN)/python tests/support/toolchains.py 1.23 1.27

toolchains: .venv/base
	@sh tools/packages.sh 'tests on Go 1.19' $(REST_PACKAGES)
	@$(BIN)/python tests/support/toolchains.py

demo: ## record a session cache that is filled and drained, and show what its map retains
	@$(MAKE) --no-print-directory --jobs=2 .venv/runs .build/demo
	@$(MAKE) --no-print-directory core
	@$(SUPPORT) tools/demo.py

# built beside the installation: one waits for the network while the other compiles
.build/demo: $(wildcard tests/programs/session_cache/*) | .venv/base
	@mkdir -p .build && $(SUPPORT) tools/demo.py build && touch $@

test: $(READY) ## after a change: all tests, on the last release with classic maps and the newest
	@status=0; \
	$(PYTEST) -m 'not system and not rest' --numprocesses=auto --dist=worksteal || status=1; \
	$(PYTEST) -m 'system and not alone and not rest' $(SYSTEM) || status=1; \
	$(PYTEST) -m 'system and alone and not rest' --durations=10 || status=1; \
	exit $$status

test-rest: $(READY) toolchains ## the tests on every other release
	@$(PYTEST) -m rest $(SYSTEM)

test-all: ## test, then test-rest
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-rest

quick: .venv/ready core ## the tests that need no live process, no browser and no compiled Go program
	@$(PYTEST) -m 'not system and not slow and not rest' --numprocesses=auto --dist=worksteal

matrix: setup ## every release with every linkage, live
	@$(SUPPORT) -m support.matrix

rounds: setup ## attach to a busy program and detach again, 1,000 times for each map implementation
	@MAPPROBE_ROUNDS=1000 $(BIN)/python -m pytest -q tests/system/test_rounds.py

PYTHON_FOLDERS := src tools tests benchmarks
C_FILES := $(wildcard src/core/*.[ch] src/core/fuzz/*.[ch])

check: .venv/ready ## format, lint, types, layers; format and warnings of the C code
	@$(BIN)/ruff format --check $(PYTHON_FOLDERS)
	@$(BIN)/ruff check $(PYTHON_FOLDERS)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/clang-format --dry-run --Werror $(C_FILES)
	@mkdir -p .build && { [ -f .build/lint/build.ninja ] || $(MESON) setup .build/lint --werror >.build/lint.log || { cat .build/lint.log; exit 1; }; }
	@$(NINJA) -C .build/lint

format: .venv/ready ## let ruff and clang-format write the format that `make check` asks for
	@$(BIN)/ruff format $(PYTHON_FOLDERS)
	@$(BIN)/ruff check --fix $(PYTHON_FOLDERS)
	@$(BIN)/clang-format -i $(C_FILES)

# the tests that run the core on all kinds of events
NATIVE_TESTS := tests/core tests/model tests/replay tests/fuzz $(addprefix tests/,analysis/test_retention.py \
  live/snapshot/test_buckets.py recording/test_packing.py recording/test_checks.py capture/kernel/test_ring.py)

check-native: .venv/ready ## the core built with ASan and UBSan: its property tests, and a fuzzer of recordings (SECONDS=60)
	@sh tools/packages.sh 'the fuzzer' $(NATIVE_PACKAGES)
	@NATIVE_TESTS='$(NATIVE_TESTS)' SECONDS=$(or $(SECONDS),60) PATH=$(CURDIR)/$(BIN):$$PATH sh tools/check_native.sh

explore: setup ## the property tests, with other examples each time
	@$(BIN)/python -m pytest -q -m 'not system' --hypothesis-profile=explore tests

fuzz: setup ## draw damaged binaries and recordings: TARGET=elf|pclntab|types|code|recording|all SECONDS=600
	@$(BIN)/python tests/fuzz/run.py $(or $(TARGET),all) $(or $(SECONDS),600)

traces: setup ## remake the sample recordings and their expected.json
	@$(SUPPORT) -m support.traces

docs: setup ## write the pages of docs/ that are generated: commands, format, figures of the sample recordings
	@$(SUPPORT) -m support.pages

notebooks: setup ## run the notebooks of docs/, and store their output
	@$(SUPPORT) -m support.notebooks

others: setup ## real programs by others, live: from Debian, PyPI and npm (needs npm), and Go's compiler
	@$(BIN)/python tests/others/run.py

servers: setup ## servers by others under full load, live: each report compared with the stopped process
	@$(BIN)/python tests/servers/run.py $(SERVERS)

overhead: setup ## speed of servers under load, alternately without a recorder and with one limited to 2 % of their CPU time
	@$(BIN)/python tests/servers/overhead.py $(SERVERS)

bench: setup ## the cost of probing, the speed of recording and replay, compared with other tools: docs/performance.md
	@sh tools/packages.sh 'the comparison with bpftrace' bpftrace
	@$(BIN)/python benchmarks/run.py $(PARTS)

clean: ## remove everything that set-up made
	@rm -rf .venv .toolchains .build $(CORE)
