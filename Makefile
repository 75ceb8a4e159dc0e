# Each target sets up what it needs from a bare python3 (3.11+, with venv) and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINUTES ?= 30
N ?= 50000
OBJECTS ?= 3000
READY := $(VENV)/.ready
# What a lock names is complete: it is installed as it stands, without resolving, and checked. Twice quiet: errors alone are shown.
LOCKED := -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes --requirement
# $(call checked,PYTHON,LOCK): installs a lock, or says what to try.
checked = { $(1) $(LOCKED) $(2) && { found=$$($(1) -m pip check) || { echo "$$found"; false; }; }; } || { echo "$(2) could not be installed. Is the package index reachable (proxy, PIP_INDEX_URL)? Does $(PYTHON) have a wheel for each package? Try again, or with another Python: make clean, then make PYTHON=python3.12 $(or $(firstword $(MAKECMDGOALS)),setup)" >&2; exit 1; }

.PHONY: help setup test test-deep lint types unit audit foreign soak bench demo lock clean

help:
	@echo "make demo    the whole migration against a local Cloud Storage (about two minutes), OBJECTS=3000 of them"
	@echo "make test    lint, types, tests"
	@echo "make test-deep the larger scopes of the race tests: minutes, and a few gigabytes"
	@echo "make audit   known vulnerabilities of every locked version; asks PyPI's advisory database"
	@echo "make foreign clients of others (gcsfs, pyarrow, Node, rclone, gcloud ...) against local_gcs"
	@echo "make soak    the whole story under faults and kills for MINUTES=30, with a fresh seed or SEED=N"
	@echo "make bench   the backfill against rclone and gcloud storage rsync, N=50000 objects"
	@echo "make setup   .venv with everything for both; the other targets depend on it"
	@echo "make lock    renew the locked requirements after a change in pyproject.toml"
	@echo "make clean   remove .venv and caches"

setup: $(READY)

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	@echo "Setting up $(VENV) with the locked requirements: one to two minutes on two quiet cores."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(call checked,$(BIN)/python,requirements-dev.txt)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

test: lint types unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/pytest -n auto --dist worksteal

test-deep: $(READY)
	RACES=deep $(BIN)/pytest -q tests/races

# In an environment of its own: it brings two dozen packages that nothing here is made of. Strict: what could not be asked about
# is a failure, not a pass.
.audit/bin/pip-audit: requirements-audit.txt
	@$(PYTHON) -m venv --clear .audit
	@$(call checked,.audit/bin/python,requirements-audit.txt)
	@touch $@

audit: .audit/bin/pip-audit
	for file in requirements*.txt; do echo "$$file"; .audit/bin/pip-audit --strict --progress-spinner off --require-hashes --disable-pip -r $$file || exit 1; done

# The clients of others, in an environment of their own: nothing here is made of them. What cannot be installed is skipped.
FOREIGN := tests/local_gcs/foreign
.foreign/.ready: $(FOREIGN)/requirements.txt $(FOREIGN)/package.json
	$(PYTHON) -m venv .foreign
	grep -v '^#' $(FOREIGN)/requirements.txt | while read -r pin; do \
		.foreign/bin/python -m pip install --quiet --disable-pip-version-check "$$pin" || echo "$$pin cannot be installed"; done
	cp $(FOREIGN)/package.json .foreign/
	npm install --prefix .foreign --silent --no-audit --no-fund || echo "the Node client cannot be installed"
	@touch $@

foreign: $(READY) .foreign/.ready
	$(BIN)/pytest -q -rs -m foreign tests

soak: $(READY)
	SOAK_SECONDS=$$(($(MINUTES) * 60)) SOAK_SEED=$(SEED) $(BIN)/pytest -q tests/e2e/test_e2e_whole_story.py

bench: $(READY)
	$(BIN)/python bench/backfill.py --latency --objects $(N)

demo: $(READY)
	$(BIN)/python -m demo --objects $(OBJECTS)

# Extras stay: a pip before 23.3 looks for a pin of `name[extra]` by that very name.
COMPILE := $(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"
LOCK := $(COMPILE) pyproject.toml

lock: $(READY)
	$(LOCK) --extra mirror -o requirements.txt
	$(LOCK) --extra job --extra bigquery -o requirements-job.txt
	$(LOCK) --extra monitoring -o requirements-monitoring.txt
	$(COMPILE) --group audit -o requirements-audit.txt
	$(LOCK) --extra job --extra mirror --extra local --extra embedded --extra bigquery --extra completion --extra monitoring --extra dev -o requirements-dev.txt

clean:
	rm -rf $(VENV) .audit .foreign .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
