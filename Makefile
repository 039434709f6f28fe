# Everything needs git, make and Python 3.11 or newer, and sets up the rest in .venv.
#
#   make demo     the race, live: cp against shipway          make demo DEMO="--rounds 30"
#   make test     the tests                                   make test TESTS="tests/model -k plan"
#   make lint     ruff and mypy
#   make bench    the measurements                            make bench BENCH="--parts merge,remove --rounds 3"
#   make proof    attack what is promised                     make proof PROOF="--full --attacks kill,power"
#   make proof-peers   the same attacks on cp, pip, uv, ...   make proof-peers PEERS="--tools cp,pip"
#   make collection    build recipes from nothing, and use them   make collection COLLECTION="zlib gmpy2"
#   make format   let ruff mend what it can                   make clean   remove what make has made
#
# PYTHON=… chooses the interpreter, VENV=… another place than .venv.

VENV  ?= .venv
TESTS ?=
DEMO  ?=
BENCH ?=
PROOF ?=
PEERS ?=
COLLECTION ?=
JOBS  ?= auto

new_enough := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if $$p -c '$(new_enough)' 2>/dev/null; then echo $$p; break; fi; done)

bin     := $(VENV)/bin
pip     := $(bin)/python -m pip --disable-pip-version-check --quiet
checked := src tests demo bench proof collection

.PHONY: help demo test lint bench proof proof-peers collection format clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#  *\(make .*\)/\1/p' Makefile

demo: $(VENV)/installed
	@$(bin)/python -m demo $(DEMO)

bench: $(VENV)/installed
	@$(bin)/python -m bench $(BENCH)

proof: $(VENV)/installed
	@$(bin)/python -m proof $(PROOF)

proof-peers: $(VENV)/installed
	@$(bin)/python -m proof.peers $(PEERS)

collection: $(VENV)/installed
	@$(bin)/python -m collection $(COLLECTION)

lint: $(VENV)/developing
	$(bin)/ruff check $(checked)
	$(bin)/ruff format --check $(checked)
	$(bin)/mypy

# Tests marked `alone` want the processors for themselves.
test: $(VENV)/developing
ifeq ($(strip $(TESTS)),)
	@status=0; set -x; \
	$(bin)/python -m pytest -q -n $(JOBS) -m 'not alone' || status=1; \
	$(bin)/python -m pytest -q -m alone || status=1; \
	exit $$status
else
	$(bin)/python -m pytest $(TESTS)
endif

format: $(VENV)/developing
	$(bin)/ruff check --fix $(checked)
	$(bin)/ruff format $(checked)

clean:
	rm -rf $(VENV) .demo .bench .proof .collection build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { echo 'make: no Python 3.11 or newer found; say which: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c '$(new_enough)' || { echo 'make: $(PYTHON) is older than 3.11' >&2; exit 1; }
	@echo 'setting up $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo 'make: $(PYTHON) has no venv (Debian: apt install python3-venv)' >&2; exit 1; }

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@$(pip) install --editable .
	@touch $@

$(VENV)/developing: pyproject.toml | $(VENV)/bin/python
	@$(pip) install --editable '.[dev]'
	@touch $(VENV)/installed $@
