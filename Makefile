# Everything the targets make is in .cache, in the Docker engine (labelled devportal.backstage) and nowhere else.
PYTHON ?= python3
VENV_PYTHON = .cache/venv/bin/python

# KEEP=1 leaves the hosts of a molecule run; CORPUS=folder is one of real app-config files, for the module tests.
export SCENARIO KEEP CORPUS EXAMPLES APP_CONFIG TARGET

.PHONY: help setup demo test lint unit integration molecule drills bench fuzz build clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]*:.*## / {printf "%-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:
	@$(PYTHON) -B tests/tools/setup.py

demo: setup ## a throw-away host, from bare to a Backstage database; APP_CONFIG=path or TARGET=localhost for your own
	@$(VENV_PYTHON) -B tests/tools/demo.py

test: setup ## everything below down to molecule, with a summary
	@$(VENV_PYTHON) -B tests/tools/parts.py lint unit integration molecule

lint: setup ## all gates that read the code
	@$(VENV_PYTHON) -B tests/tools/parts.py lint

unit: setup ## the pure libraries
	@$(VENV_PYTHON) -B tests/tools/parts.py unit

integration: setup ## the modules, against a real PostgreSQL server
	@$(VENV_PYTHON) -B tests/tools/parts.py integration

molecule: setup ## whole hosts, in containers; SCENARIO=name for one
	@$(VENV_PYTHON) -B tests/tools/parts.py molecule

drills: setup ## every failure drill against a real Backstage (make test has one of each kind)
	@$(VENV_PYTHON) -B tests/tools/parts.py drills

bench: setup ## how fast, each figure a ratio within one run
	@$(VENV_PYTHON) -B tests/tools/parts.py bench

fuzz: setup ## the promise of the YAML patch on 200,000 generated files; EXAMPLES=number for another count
	@$(VENV_PYTHON) -B tests/tools/parts.py fuzz

build: setup ## the tarball for Galaxy, in .cache/build
	@$(VENV_PYTHON) -B tests/tools/parts.py build

clean: ## take everything away again
	@$(PYTHON) -B tests/tools/clean.py
