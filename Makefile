# One recipe for people and for CI: every target does all of its own set-up.
# Needs only make and a Python from 3.11 to 3.13.

VENV    ?= .venv
PY      := $(VENV)/bin/python
STAMP   := $(VENV)/.ready
ARGS    ?=
N       ?= 20
SOURCES := headroom shared services tests $(wildcard benchmarks) $(wildcard deploy) $(wildcard examples)

.DEFAULT_GOAL := help
.PHONY: help setup demo up test lint audit format bench faults lock clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment (done once, then instant)

# The first interpreter that runs, is in range and can make a virtual environment. A name on the PATH is not
# enough: version managers leave shims for versions that are not active.
$(STAMP): requirements.lock pyproject.toml
	@set -e; \
	usable='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	if ! $(PY) -c "$$usable" >/dev/null 2>&1; then \
	  for candidate in python3.13 python3.12 python3.11 python3 python; do \
	    if $$candidate -c "$$usable" >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$chosen" ]; then \
	    echo "No Python from 3.11 to 3.13 with venv and ensurepip was found on the PATH." >&2; \
	    echo "Install one (on Debian and Ubuntu: apt install python3 python3-venv) and run make again." >&2; exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$($$chosen --version) ($$chosen)"; \
	  $$chosen -m venv --clear $(VENV); \
	fi; \
	$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; \
	echo "Installing the locked packages into $(VENV): one to two minutes the first time"; \
	{ $(PY) -m pip install --require-hashes --only-binary :all: --disable-pip-version-check -r requirements.lock \
	    || echo "pip has failed"; } \
	  | awk '/^ *Collecting/ {n++; if (n % 20 == 0) {printf "  … %d packages looked up\n", n; fflush()}} \
	         /^Installing/ {print "  … installing"; fflush()} /^pip has failed/ {failed = 1} END {exit failed}' \
	  || { echo "The packages could not be installed; pip says why above." >&2; exit 1; }; \
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check -e .
	@touch $@

demo: $(STAMP) ## Play the margin-volume trap into the running system and watch it caught
	@$(PY) -m headroom demo $(ARGS)

up: $(STAMP) ## Start broker, database and all services; Ctrl-C stops them (ARGS="--ephemeral")
	@$(PY) -m headroom up $(ARGS)

# First what only calculates, over all processors; then what waits for servers, two files at a time, each with servers
# of its own; last what plays and kills the whole system, alone.
WHOLE := tests/faults/test_whole_system.py
test: $(STAMP) ## Run the tests (ARGS="tests/unit -k cells")
ifeq ($(strip $(ARGS)),)
	@failed=0; \
	$(PY) -m pytest -n auto tests/unit tests/contract || failed=1; \
	$(PY) -m pytest -n 2 --dist loadfile tests/integration tests/faults --ignore $(WHOLE) || failed=1; \
	$(PY) -m pytest tests/e2e $(WHOLE) || failed=1; \
	exit $$failed
else
	@$(PY) -m pytest $(ARGS)
endif

lint: $(STAMP) ## Check style, types, who imports whom, and what could be unsafe
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m bandit --quiet --configfile pyproject.toml --recursive headroom shared services deploy

# Not in requirements.lock, for nothing else needs it: its version stands here.
PIP_AUDIT := 2.10.1

audit: $(STAMP) ## Ask a vulnerability database about every package the image has (needs one that can be reached)
	$(PY) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check pip-audit==$(PIP_AUDIT)
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.runtime.lock

format: $(STAMP) ## Put the sources into the one format
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

bench: $(STAMP) ## Run a benchmark beside its peers (B=fold ARGS=--json)
	@test -n "$(B)" || { echo "Name one: make bench B=$$(ls benchmarks/*.py | xargs -n1 basename -s .py | grep -v '^_' | paste -sd'|')"; exit 2; }
	@$(PY) -m benchmarks.$(B) $(ARGS)

faults: $(STAMP) ## Do N faults to the whole system under load (N=200 ARGS="--seed 7")
	@$(PY) -m tests.faults.harness $(N) $(ARGS)

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-header

lock: $(STAMP) ## Resolve requirements.lock anew, and of it what the image runs (needs uv)
	$(COMPILE) --extra dev --extra local --extra otlp --upgrade --output-file requirements.lock
	$(COMPILE) --extra otlp --extra image --constraint requirements.lock --upgrade --output-file requirements.runtime.lock

clean: ## Remove the virtual environment and the caches
	rm -rf $(VENV) .venv-audit .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
