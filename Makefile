# Each target sets up what it needs from a bare python3 (3.11+, with venv) and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINUTES ?= 30
N ?= 50000
PIP_AUDIT := pip-audit==2.10.1
READY := $(VENV)/.ready

.PHONY: help setup test lint types unit audit foreign soak bench demo lock clean

help:
	@echo "make demo    the whole migration against a local Cloud Storage (about two minutes)"
	@echo "make test    lint, types, tests"
	@echo "make audit   known vulnerabilities of every locked version; asks PyPI's advisory database"
	@echo "make foreign clients of others (gcsfs, pyarrow, Node, rclone, gcloud ...) against local_gcs"
	@echo "make soak    the whole story under faults and kills for MINUTES=30, of a fresh seed or SEED=N"
	@echo "make bench   the backfill against rclone and gcloud storage rsync, N=50000 objects"
	@echo "make setup   .venv with everything for both; the other targets depend on it"
	@echo "make lock    renew the locked requirements after a change in pyproject.toml"
	@echo "make clean   remove .venv and caches"

setup: $(READY)

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
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

# In an environment of its own: it brings two dozen packages that nothing here is made of. Strict: what could not be asked about
# is a failure, not a pass.
.audit/bin/pip-audit:
	$(PYTHON) -m venv .audit
	.audit/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_AUDIT)

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
	$(BIN)/pytest -q -rs tests/local_gcs/test_local_gcs_foreign.py tests/local_gcs/test_local_gcs_tools.py tests/e2e/test_e2e_foreign_tools.py

soak: $(READY)
	SOAK_SECONDS=$$(($(MINUTES) * 60)) SOAK_SEED=$(SEED) $(BIN)/pytest -q tests/e2e/test_e2e_whole_story.py

bench: $(READY)
	$(BIN)/python bench/backfill.py --latency --objects $(N)

demo: $(READY)
	$(BIN)/python -m demo

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" pyproject.toml

lock: $(READY)
	$(LOCK) --extra mirror -o requirements.txt
	$(LOCK) --extra job --extra bigquery -o requirements-job.txt
	$(LOCK) --extra monitoring -o requirements-monitoring.txt
	$(LOCK) --extra job --extra mirror --extra local --extra embedded --extra bigquery --extra completion --extra monitoring --extra dev -o requirements-dev.txt

clean:
	rm -rf $(VENV) .audit .foreign .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
