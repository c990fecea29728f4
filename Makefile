# make demo     contacts of three systems, in a real Airflow (KEEP=1 leaves its UI up)
# make test     the tests, on all processors but four at most (ARGS="-k windows" picks some; JOBS=0 uses one)
# make faults   faults of every kind, for ten minutes (ARGS="--seed 7 --seconds 3600"; ARGS=deployed strikes a whole Airflow)
# make fuzz     a million generated bodies for each feed (ARGS="turn --seed 7 --bodies 10000")
# make lint     ruff, mypy and, for words, codespell
# make matrix   the tests on every Airflow that is supported (ARGS=airflow-2.11.2 picks one)
# make bench    the figures in README
# make docs     the documentation, in docs/_build/html
# make dbt      an environment with dbt, in .dbt, for the tests of examples/dbt
# make release  both distributions, in dist, tried on the newest and the oldest Airflow; nothing is uploaded
# make newcomer README's commands, as they are written, in a fresh clone (ARGS="--skip '^make (test|matrix|bench)'")
# make clean    removes everything that these have made
#
# They need Python 3.11 or newer and make. Everything else goes into .venv, once.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
JOBS ?= auto
PROSE := airflow_provider_wacontacts dags docs README.md CONTRIBUTING.md SECURITY.md

CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
PYTHON ?= $(shell for candidate in $(CANDIDATES); do \
	"$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
		>/dev/null 2>&1 && { echo "$$candidate"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help venv demo test faults fuzz lint format matrix bench docs dbt release newcomer wheel constraints clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

venv: $(STAMP)

# Packages are compiled once, so that no command takes long the first time. uv installs in a third of the time. Where it
# is not to be had, or reaches no registry because only pip was told of a mirror, pip does the same.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11 to 3.14 with its venv module; tried: $(CANDIDATES)." \
		"Name another with: make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(PY) || { echo "make: setting up $(VENV), once" >&2; "$(PYTHON)" -m venv $(VENV); }
	@{ $(PY) -m pip install -q --disable-pip-version-check -c constraints.txt uv && \
		$(VENV)/bin/uv pip install -q --python $(PY) --compile-bytecode -c constraints.txt -b constraints.txt -e '.[dev]'; } || \
		$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@KEEP=$(KEEP) $(PY) -m demo

test: $(STAMP)
	$(PY) -m pytest -n $(JOBS) --maxprocesses=4 $(ARGS)

faults: $(STAMP)
	$(PY) -m tests.faults $(ARGS)

fuzz: $(STAMP)
	$(PY) -m tests.faults.fuzz $(ARGS)

lint: $(STAMP)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell $(PROSE)

format: $(STAMP)
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

matrix: $(STAMP)
	$(PY) -m matrix $(ARGS)

bench: $(STAMP)
	$(PY) -m benchmarks $(ARGS)

docs: $(STAMP)
	$(PY) -m sphinx -W -E -q -b html docs docs/_build/html

dbt: .dbt/bin/dbt

.dbt/bin/dbt: $(STAMP) examples/dbt/requirements.txt
	$(VENV)/bin/uv venv -q --clear --python $(PY) .dbt
	$(VENV)/bin/uv pip install -q --python .dbt/bin/python -r examples/dbt/requirements.txt
	@touch $@

release: $(STAMP)
	$(PY) -m tests.packaging.release

newcomer: $(STAMP)
	$(PY) -m tests.newcomer $(ARGS)

wheel: $(STAMP)
	$(PY) -m hatchling build -t wheel

constraints: $(STAMP)
	$(VENV)/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --all-extras --no-emit-package airflow-provider-wacontacts \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o constraints.txt

clean:
	rm -rf $(VENV) .dbt .matrix .bench build dist benchmarks/output demo/output docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
