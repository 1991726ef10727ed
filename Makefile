# Everything from nothing but a Python: `make demo` and `make test` create .venv once and need no network afterwards.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$python && break; done)

# Compiled programs are kept between runs.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1

MINUTES ?= 4
JOBS ?= auto
KILLS ?= 20
DEMO ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: help demo test check format claims chaos bench docs clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Go-Explore in Montezuma's Revenge for MINUTES=4, then its report
	@out="$(DEMO)" && $(BIN)/aiga run go_explore --cells domain --minutes $(MINUTES) --seed 0 --out "$$out" && \
	report="$$($(BIN)/aiga report "$$out" | tail -n 1)" && \
	if [ -n "$$CI" ]; then :; \
	elif [ "$$(uname)" = Darwin ]; then open "$$report"; \
	elif [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xdg-open >/dev/null; then xdg-open "$$report" >/dev/null 2>&1 & fi; \
	echo "The report: $$report"

test: check ## all checks, then the unit, contract and golden tests, JOBS=auto at a time (4 at most)
	$(BIN)/pytest -q -n $(JOBS) --maxprocesses 4 --dist worksteal

check: $(VENV)/.test ## formatting, lint, types, import layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.test ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

claims: $(VENV)/.test ## every paper's claim against its control (long)
	$(BIN)/pytest -m claims

chaos: $(VENV)/.test ## runs, workers, agents and nodes killed KILLS=20 times at random moments
	AIGA_KILLS=$(KILLS) $(BIN)/pytest -q -rP tests/contract/test_kill.py tests/contract/test_rewriting.py \
	tests/contract/test_chaos.py tests/contract/test_damage.py tests/contract/test_pool_kills.py tests/contract/test_ray_nodes.py tests/unit/test_ray.py

bench: $(VENV)/.bench ## speed against the peers' libraries
	$(BIN)/aiga bench

docs: $(VENV)/.test ## the documentation, into site/
	$(BIN)/zensical build --clean --strict

clean: ## remove what make made, except runs/
	rm -rf $(VENV) .cache .jax_cache site .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "aiga needs Python 3.11, 3.12 or 3.13 with venv (on Debian: apt install python3-venv); name one with make PYTHON=/path/to/python." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[all]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.demo $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev,bench]'
	@touch $(VENV)/.demo $(VENV)/.test $@
