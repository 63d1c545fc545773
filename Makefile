# Everything the targets make is in .cache, in the Docker engine (labelled devportal.backstage) and nowhere else.
PYTHON ?= python3
VENV_PYTHON = .cache/venv/bin/python

# KEEP=1 leaves the hosts of a molecule run; CORPUS=folder is one of real app-config files, for the module tests.
# K=words is pytest's -k for `make unit` and `make integration`; PROJECT_URL is the project's public address.
export SCENARIO KEEP CORPUS EXAMPLES APP_CONFIG TARGET K PROJECT_URL

.PHONY: help setup demo test quick lint unit integration pythons readme molecule hosts drills portal bench fuzz docs build pins clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]*:.*## / {printf "%-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:
	@$(PYTHON) -B tests/tools/setup.py

demo: setup ## a throw-away host, from bare to a Backstage database; APP_CONFIG=path or TARGET=localhost for your own
	@$(VENV_PYTHON) -B tests/tools/demo.py

test: setup ## everything below down to molecule, with a summary
	@$(VENV_PYTHON) -B tests/tools/parts.py lint docs unit integration pythons readme molecule

quick: setup ## within 5 minutes: lint without sanity, unit, the fastest module tests
	@$(VENV_PYTHON) -B tests/tools/parts.py quick

lint: setup ## all gates that read the code
	@$(VENV_PYTHON) -B tests/tools/parts.py lint

unit: setup ## the pure libraries; K=scram for the tests of that name
	@$(VENV_PYTHON) -B tests/tools/parts.py unit

integration: setup ## the modules, against a real PostgreSQL server
	@$(VENV_PYTHON) -B tests/tools/parts.py integration

pythons: setup ## everything that runs on a host, imported by the Pythons of Debian 11, 13 and testing
	@$(VENV_PYTHON) -B tests/tools/parts.py pythons

readme: setup ## the README's smallest project, typed as it stands, against two hosts over SSH
	@$(VENV_PYTHON) -B tests/tools/parts.py readme

molecule: setup ## whole hosts, in containers; SCENARIO=name for one
	@$(VENV_PYTHON) -B tests/tools/parts.py molecule

hosts: setup ## what the scenarios need before a plain `molecule test -s NAME`: engine, images, tarball
	@$(VENV_PYTHON) -B tests/tools/parts.py hosts

drills: setup ## every failure drill against a real Backstage (make test has one of each kind)
	@$(VENV_PYTHON) -B tests/tools/parts.py drills

portal: setup ## a whole create-app portal from npm on a bare host, looked at in a browser (ten minutes, 4 GB)
	@$(VENV_PYTHON) -B tests/tools/parts.py portal

bench: setup ## how fast, each figure a ratio within one run
	@$(VENV_PYTHON) -B tests/tools/parts.py bench

fuzz: setup ## the promise of the YAML patch on 200,000 generated files; EXAMPLES=number for another count
	@$(VENV_PYTHON) -B tests/tools/parts.py fuzz

docs: setup ## the docs site, in .cache/docs
	@$(VENV_PYTHON) -B tests/tools/parts.py docs

build: setup ## the tarball for Galaxy, in .cache/build; PROJECT_URL=address for a release
	@$(VENV_PYTHON) -B tests/tools/parts.py build

pins: ## newer pins: tests/requirements/*.txt from *.in, the locks of npm, the minor release of the image
	@$(PYTHON) -B tests/tools/pins.py

clean: ## take everything away again
	@$(PYTHON) -B tests/tools/clean.py
