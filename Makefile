PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-engines test-mariadb lint format docs bench
help: ## Show the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/'

.venv/stamp: requirements-dev.txt requirements.txt harvest/requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -r requirements-dev.txt
	touch $@

demo: .venv/stamp ## Load the local sandbox account into DuckDB and show what arrived
	$(BIN)/python harvest_pipeline.py --demo

test: lint ## Lint, then run all tests, real Postgres included
	$(BIN)/python -m pytest

test-mariadb: .venv/stamp ## Test against the MariaDB or MySQL that TEST_MARIADB_URL names
	@test "$$TEST_MARIADB_URL" || { echo "Set TEST_MARIADB_URL, e.g. mysql+pymysql://user:password@localhost/harvest"; exit 1; }
	$(BIN)/pip install -q pymysql
	$(BIN)/python -m pytest tests/test_destinations.py -k mariadb

test-engines: .venv-airflow/stamp .venv-dagster/stamp ## Run the examples for Airflow and Dagster by these engines
	.venv-airflow/bin/python -m pytest tests/engines/test_airflow.py
	.venv-dagster/bin/python -m pytest tests/engines/test_dagster.py

.venv-%/stamp: tests/engines/%.txt requirements.txt harvest/requirements.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install -q -r $<
	touch $@

lint: .venv/stamp ## Check style, types and what the README quotes from the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cog --check README.md CONTRIBUTING.md

format: .venv/stamp ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/stamp ## Renew what the README quotes from the code
	$(BIN)/cog -r README.md CONTRIBUTING.md

bench: .venv/stamp ## Measure the source against the fewest requests that the API allows
	$(BIN)/python -m benchmarks
