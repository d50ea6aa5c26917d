# Every target works alone in a fresh clone with Python 3.11 or newer and make.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# The first Python in this list that is new enough makes the environment.
PYTHONS := python3 python3.15 python3.14 python3.13 python3.12 python3.11 python

.PHONY: help run check test lab lint bench record docs store lock wheelhouse clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.txt pyproject.toml
	@for python in $(PYTHONS); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then echo "Python 3.11 or newer is needed, and none was found."; exit 1; fi; \
	echo "Setting up $(VENV) with $$($$found --version), once; this takes a minute or two."; \
	$$found -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

run: $(READY) ## run notebook 02 on this machine: timings, bound and figures (three to five minutes)
	@$(BIN)/python tools/run_notebook.py notebooks/02_serial_versus_parallel.ipynb

check: lint ## run lint and the quick tests (about two minutes)
	@$(BIN)/python -m pytest -m "not slow and not weekly" --numprocesses=2 --dist=loadfile

test: lint ## run every check: lint, tests and notebooks (a quarter of an hour; WEEKLY=1: what is slower still)
	@WEEKLY=$(WEEKLY) $(BIN)/python tools/run_checks.py

lab: $(READY) ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks

lint: $(READY) ## check style and format of code and notebooks
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

bench: $(READY) ## time the helper against the published way and other pools (PEERS=1: these alone, QUICK=1: shorter, LONG=1: and 10,000 jobs, CLUSTER=1: dask, ROUNDS=n)
	@PEERS=$(PEERS) QUICK=$(QUICK) LONG=$(LONG) CLUSTER=$(CLUSTER) ROUNDS=$(ROUNDS) $(BIN)/python -m benchmarks.run

record: $(READY) ## time the page's job sets on this machine, for docs/records (FORCE=1: even if it is busy)
	@FORCE=$(FORCE) QUICK=$(QUICK) $(BIN)/python -m benchmarks.record

docs: $(READY) ## build the site into build/site: notebooks, guides, timings, API
	@$(BIN)/python tools/build_site.py

store: $(READY) ## execute all notebooks and store their outputs, on a quiet machine
	@$(BIN)/python tools/store_outputs.py
	@$(BIN)/ruff format

lock: $(READY) ## write requirements.txt anew from pyproject.toml (UPGRADE=1: newest versions)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		pyproject.toml --output-file requirements.txt

wheelhouse: $(READY) ## collect the wheels for a room without a network (SYSTEMS="windows macos", VERSIONS="3.12")
	@$(BIN)/python tools/make_wheelhouse.py $(SYSTEMS) $(if $(VERSIONS),--python $(VERSIONS))

clean: ## remove the environment, what was built, and the caches of the checks
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
