# Everything is set up below this folder: .venv/ (Python), node_modules/ (front-end packages), var/ (state).
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
export PORT ?= 8000
# Where a shell sets it (images for containers often do), each process that starts would compile the whole project anew.
export PYTHONDONTWRITEBYTECODE :=
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run test test-slow chaos soak demo bench lint format check messages setup setup-dev clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: setup  ## Set up, migrate, start every process; Ctrl-C stops them all
	@exec $(BIN)/python manage.py console_run

test: setup-dev  ## Every test, browser tests included
	@.ci/browser
	@.ci/clients
	@$(BIN)/python -m pytest -n 3 --dist loadgroup

test-slow: setup-dev  ## The tests that take minutes: does each algorithm learn
	@$(BIN)/python -m pytest -m slow

KILLS ?= 100
MINUTES ?= 20
chaos: setup-dev  ## Kill the processes of a working console at random moments (KILLS, MINUTES, SEED, DATABASE=postgres)
	@$(BIN)/python -m tests.chaos --kills $(KILLS) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(DATABASE),--services)

soak: setup-dev  ## Load a stage URL for MINUTES at 80 % of what it can do, and kill its engine every minute
	@$(BIN)/python -m tests.chaos.soak --minutes $(MINUTES)

demo: setup  ## Against a running console: the whole journey for the three algorithms
	@$(BIN)/python manage.py console_demo

bench: setup-dev  ## The benchmarks, as tables with ratios
	@$(BIN)/python -m benchmarks

lint: setup-dev  ## ruff, mypy, import contracts, Django's own checks
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy benchmarks console endpoints models_registry training
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py check && $(BIN)/python manage.py makemigrations --check --dry-run

format: setup-dev  ## Let ruff put the code in order
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

messages: setup-dev  ## Collect the texts to translate into locale/ (needs GNU gettext)
	@$(BIN)/python manage.py makemessages -l ko --no-obsolete --no-location -i node_modules -i .venv -i var -i tests
	@$(MAKE) --no-print-directory setup

setup: .venv/.runtime node_modules/.done locale/ko/LC_MESSAGES/django.mo

setup-dev: .venv/.dev node_modules/.done locale/ko/LC_MESSAGES/django.mo

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.runtime: requirements.lock | .venv/bin/python
	@echo "Installing the Python packages (once; a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	@echo "Installing the packages for tests ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

node_modules/.done: package-lock.json | .venv/.runtime
	@echo "Installing the front-end packages ..."
	@$(BIN)/npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

%.mo: %.po | .venv/.runtime
	@$(BIN)/pybabel --quiet compile -i $< -o $@ -l ko

clean:  ## Remove what set-up made; var/ stays
	@rm -rf .venv node_modules
