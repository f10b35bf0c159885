# `make demo` and `make test` need only Python 3.11+, make and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test check lint lower-bounds fuzz bench docs reference clean
setup: $(READY)
	@$(BIN)/python -m compileall -q runner stgcn  # fast starts even where Python is told not to write bytecode

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 setup" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/skillbank demo --out demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup

# Thousands of broken and hostile files of every kind that is read; the same again with the same SEED. About 20 minutes on 2 cores.
CASES ?= 1000
SEED ?= 1
fuzz: setup
	OMP_NUM_THREADS=1 FUZZ_CASES=$(CASES) FUZZ_SEED=$(SEED) nice $(BIN)/python -m pytest -m slow -n auto --maxprocesses 4 tests/test_fuzz.py tests/test_formats_estimators_fuzz.py

# The tests that reach into every package, in a clean environment with each of them at the lowest version that is allowed.
lower-bounds: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/test_packaging.py -k "lower_bounds" -x

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/skillbank schemas check

check: lint test docs

# Ratios of speed to the plain way, in bench/results.json and bench/RESULTS.md. Three quarters of an hour, on a machine with nothing else to do.
bench: setup
	$(BIN)/python bench/speed.py

# The site, in build/docs, readable without a network. Every warning is an error: a link or an anchor that leads nowhere,
# a page that no table of contents names.
docs: setup
	@$(BIN)/python -c 'import furo, myst_parser, sphinx' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/generate.py --check
	$(BIN)/sphinx-build -W --keep-going -q -c docs -d build/doctrees . build/docs
	@echo "Open build/docs/index.html"

# The pages and drawings that come from the code: docs/commands.md, docs/settings.md, docs/images/*.svg.
reference: setup
	$(BIN)/python docs/generate.py

clean:
	rm -rf demo workspace build dist
