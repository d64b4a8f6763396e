# A fresh checkout needs Python 3.11 or newer with venv, and make; nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: sweep check docs test test-slow test-all faults test-cluster lint secrets cluster clean

sweep: .venv/sweep  ## the digits sweep end to end, and its table
	$(BIN)/snn-sweep run digits

# Tests of a file stay in one process, for what they share; many wait, so three on two cores.
PYTEST := $(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: .venv/test lint  ## lint, types, and the tests of what decides without a server: a minute
	$(BIN)/pytest --quiet tests/orchestration/sweep tests/orchestration/progress

test: .venv/test lint  ## all tests but the slow ones, which docs/contributing.md lists
	$(PYTEST) -m "not slow"

test-slow: test  ## and one or two slow tests of each subject: what CI runs
	$(PYTEST) -m "slow and not release"

test-all: test .venv/test-all  ## and all slow ones, before a release: an hour
	$(PYTEST) -m slow

docs: .venv/docs  ## the pages, the reference and the notebook as a site, in build/docs/site
	$(BIN)/python docs/site/build_site.py

faults: .venv/test  ## each fault in 20 rounds: hours on two cores; what they showed is kept in build/
	mkdir -p build
	SNN_TEST_FAULT_ROUNDS=$${SNN_TEST_FAULT_ROUNDS:-20} SNN_TEST_FAULT_ROWS=build/faults.jsonl \
		$(BIN)/pytest tests/faults --timeout 900

test-cluster: .venv/test-all  ## the composed cluster: needs Docker, takes half an hour
	$(BIN)/pytest tests/cluster --timeout 600

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

secrets:  ## the cluster's secrets, each a file; those that are there are kept
	@$(PYTHON) services/make_secrets.py

cluster: secrets  ## Postgres, MLflow, Ray's head and two workers, in containers
	@$(PYTHON) services/check_ports.py
	docker compose up --detach --build --wait

# .venv/EXTRA marks that the package is installed with that extra, as pyproject.toml has it.
.venv/%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing snn-norm[$*] into .venv: this takes a minute or two"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable '.[$*]'
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # on all cores; torch has files for newer Pythons
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
