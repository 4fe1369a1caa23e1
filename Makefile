# One command per purpose. `make ethanol` and `make test` set the environment up by themselves.
#
# The torch wheel is installed first and alone, so that its build can be chosen:
#   CPU machine:  make TORCH_INDEX=<PyTorch's index of CPU wheels>   where pip would fetch a CUDA build
#   GPU machine:  make TORCH=torch==2.13.0                           the CUDA build of the default index

PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
# One thread per process: the work is spread over processes, and two layers of it fight.
export OMP_NUM_THREADS ?= 1

.PHONY: ethanol environment test lint check slow slurm clean

ethanol: $(READY)
	$(BIN)/python workflows/ethanol.py

environment: $(READY)

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

slow: $(READY)
	$(BIN)/python -m pytest -m slow

slurm: $(READY)
	$(BIN)/python -m pytest -m slurm

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev,pyscf,tblite,chgnet,monitoring]"
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find bnnflow executors workflows tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
