PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCS := README.md CONTRIBUTING.md harvest/README.md docs/*.md harvest/dbt/models/*/*.yml

# What a change breaks first, without Postgres.
QUICK := tests/test_plan.py tests/test_api_answers.py tests/test_api_settings.py \
	tests/test_failures.py tests/test_roles.py tests/test_summary.py tests/test_load.py

# pyenv keeps each Python in a folder of its own, and lends only the chosen one.
export PATH := $(PATH)$(subst $() ,,$(addprefix :,$(wildcard $(HOME)/.pyenv/versions/3.*/bin)))

# Undo the caller's setting: with it, each process of the tests would compile all modules anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo dashboard screenshots test test-dbt test-page test-pythons quick test-engines test-mariadb lint format docs bench lock
help: ## Show the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/'

$(VENV)/stamp: requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r requirements-dev.lock
	touch $@

demo: $(VENV)/stamp ## Load the local sandbox account into DuckDB and show what arrived
	$(BIN)/python harvest_pipeline.py --demo

dashboard: $(VENV)/stamp ## Show the sandbox account on a page, loaded with metrics where it is not there
	$(BIN)/python harvest_pipeline.py --demo --dashboard

test: lint ## Lint, then run all tests but those of the other targets, real Postgres included; say what took longest
	$(BIN)/python -m pytest -n 3 --dist worksteal --durations 20

quick: $(VENV)/stamp ## Run what a change breaks first, in less than a minute
	$(BIN)/python -m pytest -n 3 --dist worksteal -q -k "not postgres" $(QUICK)

test-pythons: ## Run the quick part by each Python that is supported and found here
	@for version in 3.10 3.11 3.12 3.13 3.14; do \
		python=$$(which -a python$$version | while read -r p; do "$$p" -c "" 2>/dev/null && echo "$$p" && break; done); \
		if [ "$$python" ]; then echo "Python $$version:"; $(MAKE) quick PYTHON="$$python" VENV=.venv-$$version || exit 1; \
		else echo "Python $$version is not found here."; fi; \
	done

test-mariadb: $(VENV)/stamp ## Test against the MariaDB or MySQL that TEST_MARIADB_URL names
	@test "$$TEST_MARIADB_URL" || { echo "Set TEST_MARIADB_URL, e.g. mysql+pymysql://user:password@localhost/harvest"; exit 1; }
	$(BIN)/pip install -q pymysql
	$(BIN)/python -m pytest tests/test_destinations.py -k mariadb

test-dbt: $(VENV)/stamp ## Test by dbt what it builds: metrics, and tables of other connectors' names
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/dbt

test-page: $(VENV)/stamp ## Test the dashboard in a real Chromium, which must be installed
	$(BIN)/pip install -q playwright
	$(BIN)/python -m pytest tests/browser

screenshots: $(VENV)/stamp ## Renew the README's pictures of the dashboard, by a Chromium that is installed
	$(BIN)/pip install -q playwright
	$(BIN)/python -m tests.browser.screenshots

test-engines: .venv-airflow/stamp .venv-dagster/stamp ## Run the examples for Airflow and Dagster by these engines
	.venv-airflow/bin/python -m pytest tests/engines/test_airflow.py
	.venv-dagster/bin/python -m pytest tests/engines/test_dagster.py

.venv-%/stamp: tests/engines/%.lock
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install -q -r $<
	touch $@

lint: $(VENV)/stamp ## Check style, types and what the documents quote from the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cog -I . --check --verbosity=1 $(DOCS)

format: $(VENV)/stamp ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/stamp ## Renew what the documents quote from the code
	$(BIN)/cog -I . -r $(DOCS)

lock: .venv-lock/stamp ## Renew the locks of the tools and libraries for development, and of the engines
	for list in requirements-dev tests/engines/airflow tests/engines/dagster; do \
		.venv-lock/bin/uv pip compile -q --universal --python-version 3.10 --no-annotate --no-header \
			--no-emit-index-url --no-emit-find-links $$list.txt -o $$list.lock || exit 1; \
	done

.venv-lock/stamp:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install -q uv
	touch $@

bench: $(VENV)/stamp ## Measure the source against the fewest requests that the API allows
	$(BIN)/python -m benchmarks
