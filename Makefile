# `make demo` and `make test` set up everything themselves, in .venv.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# One thread per test process: two processes on two cores do not fight. Each begins with one half of the tests in their
# order, so that what the tests of a file share is made once; whoever has finished takes over tests from the other.
WORKERS ?= 2

.PHONY: demo test test-slow test-slurm lint bench clean

demo: $(VENV)/.installed
	$(BIN)/pinn train problem=helmholtz

test: $(VENV)/.installed-test
	$(BIN)/python -m compileall -q pinn_cli problems  # the processes of the tests need not do it again
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not slurm" -q

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow -q

# A real Slurm of one node, on this machine: needs root, and Debian unless Slurm is installed. Skipped with the reason.
test-slurm: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slurm and not slow" -q -rs

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .

	$(BIN)/mypy

# Whole training loops beside those of DeepXDE, JAX and plain torch, in an environment of their own. Wide rows take long.
bench: .venv-bench/.installed
	.venv-bench/bin/python benchmarks/peers/measure.py
	.venv-bench/bin/python benchmarks/tables.py

.venv-bench/.installed: setup.cfg constraints.txt benchmarks/peers/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q -c constraints.txt -e . -r benchmarks/peers/requirements.txt
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pinn needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: setup.cfg constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
