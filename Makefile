# The few commands that people need. `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install test fast lint format docs serve figures clean

help: ## list these commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: ## make .venv with bcjax, its tests and its pages
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c .ci/constraints.txt -e '.[all,test,docs]'

test: ## run every test, as the README says
	$(BIN)/pytest

fast: ## run the tests that take less than ten seconds each
	$(BIN)/pytest -m 'not slow'

lint: ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: ## mend the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

export NO_MKDOCS_2_WARNING := 1

docs: ## build the pages into site/
	$(BIN)/mkdocs build --strict

serve: ## show the pages while you write them
	$(BIN)/mkdocs serve

figures: ## write the tables of README.md and docs/benchmarks.md from benchmarks/results
	$(BIN)/python benchmarks/figures.py

clean: ## remove what builds and tests leave
	rm -rf site build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
