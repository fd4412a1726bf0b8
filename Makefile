# make            what there is
# Each target does all the set-up that it needs (as root on Debian 12; elsewhere see README.md).

PYTHON ?= python3
BIN := .venv/bin
DEBIAN_PACKAGES := python3-bpfcc linux-libc-dev python3-venv gcc golang-1.19-go chromium
PYTEST := $(BIN)/python -m pytest -q
# half the time of a live test waits for the kernel to take probes out: twice as many as there are cores
LIVE := --numprocesses=$$((2 * $$(nproc))) --dist=loadgroup
export MAPPROBE_CACHE ?= $(CURDIR)/.build/cache

.DEFAULT_GOAL := help
.PHONY: help setup toolchains kernels demo test test-rest test-all quick check explore fuzz traces docs notebooks bench matrix others servers overhead rounds clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready toolchains ## Debian packages, virtual environment, Go toolchains

toolchains: .venv/ready
	@$(BIN)/python tests/toolchains.py >/dev/null

.venv/ready: pyproject.toml
	@missing=$$(dpkg-query -W -f '$${Package} $${Status}\n' $(DEBIAN_PACKAGES) 2>/dev/null | awk '/ok installed/ {print $$1}' | sort >/tmp/mapprobe-have.$$$$; \
	  printf '%s\n' $(DEBIAN_PACKAGES) | sort | comm -23 - /tmp/mapprobe-have.$$$$; rm -f /tmp/mapprobe-have.$$$$); \
	if [ -n "$$missing" ]; then \
	  echo "installing $$missing"; apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: setup ## record a session cache that is filled and drained, and show what its map retains
	@$(BIN)/python tests/demo.py

test: setup kernels ## after a change: all tests, live ones on the last release with classic maps and the newest
	@status=0; \
	$(PYTEST) -m 'not live' --numprocesses=auto --dist=worksteal || status=1; \
	$(PYTEST) -m 'live and not alone and not rest' $(LIVE) || status=1; \
	$(PYTEST) -m 'live and alone and not rest' --durations=10 || status=1; \
	exit $$status

test-rest: setup kernels ## live tests on every other release
	@$(PYTEST) -m 'live and rest' $(LIVE)

test-all: test test-rest ## both

quick: setup ## about a minute: what wants neither a live process, nor a browser, nor a compiled Go program
	@$(PYTEST) -m 'not live and not slow' --numprocesses=auto --dist=worksteal

kernels: .build/kernels ## compile the kernels of replay, which takes minutes: no time limit of a test waits for it

.build/kernels: .venv/ready $(shell find src/mapprobe -name '*.py')
	@$(BIN)/python tests/compile_kernels.py
	@touch $@

matrix: setup ## every release with every linkage, live
	@$(BIN)/python tests/matrix.py

rounds: setup ## attach to a busy program and detach again, 1,000 times for each map implementation
	@MAPPROBE_ROUNDS=1000 $(BIN)/python -m pytest -q tests/live/test_rounds.py

check: .venv/ready ## format, lint, types, layers
	@$(BIN)/ruff format --check src tests benchmarks
	@$(BIN)/ruff check src tests benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports

explore: setup ## the property tests, with other examples each time
	@$(BIN)/python -m pytest -q -m 'not live' --hypothesis-profile=explore tests/model tests/test_*.py

fuzz: setup ## draw damaged binaries and recordings: TARGET=elf|pclntab|types|code|recording|all SECONDS=600
	@$(BIN)/python tests/fuzz/run.py $(or $(TARGET),all) $(or $(SECONDS),600)

traces: setup ## remake the sample recordings and their expected.json
	@$(BIN)/python tests/remake_traces.py

docs: setup kernels ## write the pages of docs/ that are generated: commands, format, figures of the sample recordings
	@$(BIN)/python tests/pages.py

notebooks: setup ## run the notebooks of docs/, and keep what they say
	@$(BIN)/python tests/notebooks.py

others: setup ## real programs by others, live: from Debian, PyPI and npm (needs npm), and Go's compiler
	@$(BIN)/python tests/others/run.py

servers: setup ## servers by others under full load, live: each report held against the process as it stands still
	@$(BIN)/python tests/servers/run.py $(SERVERS)

overhead: setup ## what servers do under load without a recorder, with one that may take 2 % of their CPU time, and without
	@$(BIN)/python tests/servers/overhead.py $(SERVERS)

bench: setup ## what probing costs, how fast events are taken in and replayed, beside peers: docs/performance.md
	@dpkg-query -W bpftrace >/dev/null 2>&1 || apt-get install -y -qq --no-install-recommends bpftrace >/dev/null
	@$(BIN)/python benchmarks/run.py $(PARTS)

clean: ## remove what set-up made
	@rm -rf .venv .toolchains .build
