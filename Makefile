# `make` lists the targets. Everything runs in .venv, which `setup` makes from hashed requirements.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# The machine's own certificates, where it has them: networks that inspect traffic are known to these only.
CERTS := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),--system-certs)
UV := .venv/bin/uv pip install --quiet $(CERTS) --python .venv/bin/python
RUN_STAMP := .venv/.run-installed
DEV_STAMP := .venv/.dev-installed

.DEFAULT_GOAL := help
.PHONY: help setup run demo test chaos check lint types layers format bench docs lock new-connector clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use
setup: $(RUN_STAMP) ## Make .venv with everything leadrelay needs to run
run: $(RUN_STAMP) ## Start the whole stack on this machine; Ctrl-C stops it
	@$(BIN)/leadrelay up
demo: $(RUN_STAMP) ## Deliver 500 sample leads to four destinations and show the figures
	@$(BIN)/leadrelay demo

##@ Develop
test: $(DEV_STAMP) ## Run the tests
	@$(BIN)/python -m pytest -n 3 --dist loadfile
chaos: $(DEV_STAMP) ## Every fault of docs/chaos.md, judged by an independent checker; CHAOS_SEED=N plays N again
	@CHAOS_SEED=$${CHAOS_SEED:-$$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')} \
		$(BIN)/python -m pytest tests/chaos -n 2 --dist load
check: lint types layers ## What must hold before a commit: style, types, import layers, generated docs
	@$(BIN)/python -m app.cli.reference --check
lint: $(DEV_STAMP) ## Style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
types: $(DEV_STAMP) ## Types
	@$(BIN)/mypy
layers: $(DEV_STAMP) ## Who may import what
	@$(BIN)/lint-imports --no-cache --no-logo
format: $(DEV_STAMP) ## Bring the code into form
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .
bench: $(DEV_STAMP) ## Measure against what one would use instead, side by side; about 35 minutes
	@$(BIN)/python -m tests.benchmarks
docs: $(DEV_STAMP) ## Write the generated reference pages
	@$(BIN)/python -m app.cli.reference
new-connector: $(DEV_STAMP) ## Begin a connector: make new-connector NAME=acme
	@$(BIN)/python -m app.cli.scaffold $(NAME)
lock: $(DEV_STAMP) ## Compile requirements/*.txt anew from pyproject.toml
	@cd requirements && for set in "setup.in -o setup.txt" "--extra all ../pyproject.toml -o run.txt" \
		"--extra all --group ../pyproject.toml:dev ../pyproject.toml -o dev.txt"; do \
		../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $$set || exit 1; done
clean: ## Remove the environment and caches; .leadrelay (your data) stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/uv: requirements/setup.txt
	@test -n "$(PYTHON)" || { echo "error: leadrelay needs Python 3.11 or newer; install it or set PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/setup.txt
	@touch $@
$(RUN_STAMP): .venv/bin/uv requirements/run.txt pyproject.toml
	@echo "setting up .venv ..." >&2
	@$(UV) --require-hashes -r requirements/run.txt
	@$(UV) --no-deps --no-build-isolation --editable .
	@touch $@
$(DEV_STAMP): $(RUN_STAMP) requirements/dev.txt
	@$(UV) --require-hashes -r requirements/dev.txt
	@touch $@
