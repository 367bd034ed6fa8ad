# What a person types. `make demo` and `make test` set up everything they need; a second time that takes no time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

# Tests and demo start processes by the hundred: compiling all that they import each time takes longer than they do.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup rootfs browser demo check test test-long bench constraints

help: ## what there is to type
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: rootfs ## prepare and stop: packages, .venv, TimescaleDB and mosquitto

$(INSTALLED): pyproject.toml constraints.txt deploy/prerequisites.sh
	@PYTHON=$(PYTHON) bash deploy/prerequisites.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev,grafana,simulators]'
	@touch $@

rootfs: $(INSTALLED)
	@$(BIN)/python -m deploy.rootfs

browser: $(INSTALLED)
	@PYTHON=$(PYTHON) bash deploy/prerequisites.sh chromium || echo "No Chromium: tests of pages in a browser are skipped." >&2

demo: setup ## an evening storm over a demo city; DEMO_SECONDS=60 ends by itself
	@$(BIN)/underfoot demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

check: $(INSTALLED) ## format, lint, types, layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup browser check ## everything that a change must pass
	$(BIN)/python -m pytest -m "not long" -n 3 --dist worksteal tests/unit tests/integration
	$(BIN)/python -m pytest -m "not long" -n 3 --dist worksteal tests/system

test-long: setup browser ## the fault and fuzz tests at full count, up to an hour
	UNDERFOOT_TEST_LONG=1 $(BIN)/python -m pytest -n 2 tests/unit tests/integration
	UNDERFOOT_TEST_LONG=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/system

bench: setup ## a table and bench.json; ONLY=ingest runs one group
	$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY))

constraints: ## resolve the newest versions of everything into constraints.txt
	$(PYTHON) -m venv --clear .venv-constraints
	.venv-constraints/bin/python -m pip install --quiet --disable-pip-version-check hatchling editables setuptools
	.venv-constraints/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev,grafana,simulators]'
	.venv-constraints/bin/python -m pip freeze --all --exclude pip --exclude-editable > constraints.txt
	rm -r .venv-constraints
