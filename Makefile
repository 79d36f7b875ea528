# Everything a newcomer or CI needs. Bare `make` prints this help.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := contracts/node_modules
AXE := tests/browser/node_modules
# How many processes run the tests; 0: one after the other.
WORKERS ?= logical

CONTRACTS := $(shell find contracts -type f -not -path '*/node_modules/*' -not -path '*/out/*' -not -path '*/cache/*') \
  billing/wallets/forwarder_code.json billing/demo/token_code.json

.DEFAULT_GOAL := help
.PHONY: help run test setup setup-dev lint types imports contracts docs messages states bench lock clean npm prometheus chromium

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: setup ## Set up, then play the main job: meter, invoice, pay, reconcile; pages stay up until Ctrl-C
	@$(BIN)/stablemeter demo $(ARGS)

test: setup-dev $(VENV)/slither.stamp ## Set up for tests, then check style, types, layers, contracts, and run all tests
	@$(MAKE) --no-print-directory --jobs=4 lint types imports contracts
	@$(BIN)/python -m compileall -q billing tests # tests start many processes, which need not compile it again
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

setup: $(VENV)/run.stamp $(NODE)/run.stamp

setup-dev: $(VENV)/dev.stamp $(NODE)/dev.stamp $(AXE)/dev.stamp prometheus chromium

lint: setup-dev ## Check style and format
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .

types: setup-dev ## Check types (mypy strict)
	@$(BIN)/mypy --no-error-summary

imports: setup-dev ## Check that imports only go down (import-linter)
	@$(BIN)/lint-imports --no-logo > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }

contracts: setup-dev $(VENV)/contracts.stamp ## Rebuild the contracts, compare them with the committed bytes, analyse them, run their tests

# Done again when anything changed that it looks at.
$(VENV)/contracts.stamp: $(CONTRACTS) $(VENV)/slither.stamp $(NODE)/dev.stamp
	@$(BIN)/python contracts/build.py check
	@$(BIN)/python contracts/analyse.py
	@cd contracts && ./forge fmt --check && ./forge test && ./forge snapshot --match-contract GasTest --check
	@touch $@

messages: setup-dev ## Bring the catalogues of languages up to date with the pages
	@$(BIN)/python -m tests.house.messages

docs: setup-dev ## Write what is made from the code (commands, settings, metrics, the examples of the API)
	@$(BIN)/python -m billing.cli.reference
	@$(BIN)/python -m tests.web.examples

states: setup-dev ## Write the lifecycle diagrams into ARCHITECTURE.md
	@$(BIN)/python -m tests.house.states

bench: setup-dev ## Measure: ratios against plain clients, in one run
	@$(BIN)/python -m benchmarks $(ARGS)

lock: ## Resolve the newest allowed versions into requirements/*.lock
	@$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv
	@cd requirements && for extra in run dev; do \
	  ../$(VENV)/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --extra embedded $$( [ $$extra = dev ] && echo --extra dev -c run.lock ) \
	    ../pyproject.toml build.in -o $$extra.lock; done
	@cd requirements && ../$(VENV)/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url slither.in -o slither.lock

clean: ## Remove what was built and downloaded
	rm -rf $(VENV) $(NODE) $(AXE) contracts/out contracts/cache build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (make PYTHON=python3.x)"; exit 1; }
	@echo "making the virtual environment"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing Python packages"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing Python packages for tests"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/run.stamp

# Slither wants another web3 than we do: it has an environment of its own.
$(VENV)/slither.stamp: requirements/slither.lock | $(VENV)/bin/python
	@echo "installing Slither"
	@$(PYTHON) -m venv $(VENV)/slither
	@$(VENV)/slither/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/slither.lock
	@touch $@

$(NODE)/run.stamp: contracts/package-lock.json | npm
	@echo "installing anvil"
	@cd contracts && npm ci --silent --omit=dev && touch node_modules/run.stamp

$(NODE)/dev.stamp: contracts/package-lock.json | npm
	@echo "installing anvil, forge and solc"
	@cd contracts && npm ci --silent && touch node_modules/run.stamp node_modules/dev.stamp

$(AXE)/dev.stamp: tests/browser/package-lock.json | npm
	@echo "installing axe-core"
	@cd tests/browser && npm ci --silent && touch node_modules/dev.stamp

npm:
	@command -v npm >/dev/null || { echo "Node and npm are needed (they bring anvil, a local EVM node): apt-get install nodejs npm"; exit 1; }

prometheus:
	@command -v prometheus >/dev/null && command -v promtool >/dev/null && command -v victoria-metrics >/dev/null \
	  && command -v systemd-analyze >/dev/null && exit 0; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then echo "installing Prometheus, VictoriaMetrics and systemd-analyze"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq prometheus victoria-metrics systemd >/dev/null; \
	else echo "They are needed for the tests: apt-get install prometheus victoria-metrics systemd"; exit 1; fi

chromium:
	@command -v chromium >/dev/null && exit 0; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then echo "installing Chromium"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	else echo "It is needed for the tests of pages: apt-get install chromium"; exit 1; fi
