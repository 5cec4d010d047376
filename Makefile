# `make` lists the targets. What each needs is built first; nothing is done twice.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_OPTIONS ?=
BACKEND ?=
.DEFAULT_GOAL := help
.PHONY: help venv install install-dev ldap run up test check bench contract kill mlflow mlflow-clients mlflow-server fmt schema docs requirements system clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: install ## start the platform on this machine and run the sample experiment
	@$(BIN)/python manage.py up --sample $(HOME_OPTIONS)

up: install ## start the platform without the sample
	@$(BIN)/python manage.py up $(HOME_OPTIONS)

venv: $(VENV)/.made ## make the virtual environment

install: $(VENV)/.installed ## install what the platform and its sample need

install-dev: $(VENV)/.installed-dev ## install what tests and checks need besides

# The oldest Python that works is told apart here: pip's own message would name only a package.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fathom needs Python 3.11 or newer; %s is Python %d.%d. Choose another with: make PYTHON=python3.12 ..." % (sys.executable, sys.version_info[0], sys.version_info[1]))'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "uv is not to be had here; pip does the same, slower."
	@touch $@

INSTALL = if [ -x $(BIN)/uv ]; then VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode

$(VENV)/.installed: $(VENV)/.made requirements.txt examples/digits/requirements.txt sdk/pyproject.toml
	@echo "Installing; the first time takes a minute."
	@$(INSTALL) -r requirements.txt -r examples/digits/requirements.txt; \
	else $(BIN)/python -m pip install --quiet -r requirements.txt -r examples/digits/requirements.txt; fi
	@$(BIN)/python -m compileall -q apps config sdk/src || true
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(INSTALL) -r requirements-dev.txt; else $(BIN)/python -m pip install --quiet -r requirements-dev.txt; fi
	@touch $@

# python-ldap is built here; without its headers LDAP is not to be had, and its tests say so.
ldap: install-dev system
	@if [ -f /usr/include/ldap.h ] && [ -f /usr/include/sasl/sasl.h ]; then \
	  $(INSTALL) -r requirements-ldap.txt; else $(BIN)/python -m pip install --quiet -r requirements-ldap.txt; fi || echo "python-ldap could not be built."; \
	else echo "No LDAP: the headers are missing (apt-get install libldap2-dev libsasl2-dev gcc)."; fi

# Only tests need these; where they cannot be had the tests that use them say so and are skipped.
system:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  missing=""; \
	  command -v chromium >/dev/null 2>&1 || missing="$$missing chromium"; \
	  command -v bwrap >/dev/null 2>&1 || missing="$$missing bubblewrap"; \
	  { command -v kinit && test -x /usr/sbin/krb5kdc; } >/dev/null 2>&1 || missing="$$missing krb5-kdc krb5-admin-server krb5-user"; \
	  [ -x /usr/sbin/slapd ] || missing="$$missing slapd ldap-utils"; \
	  [ -f /usr/include/ldap.h ] || missing="$$missing libldap2-dev"; \
	  [ -f /usr/include/sasl/sasl.h ] || missing="$$missing libsasl2-dev"; \
	  command -v gcc >/dev/null 2>&1 || missing="$$missing gcc libc6-dev"; \
	  command -v git >/dev/null 2>&1 || missing="$$missing git"; \
	  [ -x /usr/sbin/sshd ] || missing="$$missing openssh-server"; \
	  command -v npm >/dev/null 2>&1 || missing="$$missing npm"; \
	  if [ -n "$$missing" ]; then \
	    echo "Installing for the tests:$$missing"; \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing) >/dev/null </dev/null 2>&1 \
	      || echo "Could not be installed:$$missing. The tests that need them are skipped."; \
	  fi; \
	fi

# Tests of whole platforms mostly wait, for each other's starts above all: two at a time, but not beside the others, which
# keep both cores busy. The long ones come first, so that the short ones fill the end; by itself the runner would begin with
# the files of the most tests.
APART = tests/fuzz tests/e2e tests/up tests/kill tests/mlflow_clients tests/contracts

# The tests run even when a check has failed: one round says everything.
test: install-dev system ldap mlflow-clients ## everything: the checks, then the tests
	@$(BIN)/python -m config.checks; checked=$$?; \
	$(BIN)/python -m pytest -n 2 --dist loadscope $(APART:%=--ignore=%); tested=$$?; \
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder $(APART); apart=$$?; \
	exit $$((checked || tested || apart))

check: install-dev ## lint, format, types, layers, deployment checks, migrations, API document
	@$(BIN)/python -m config.checks

fmt: install-dev ## format the code and repair what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --exit-zero .

schema: install ## write docs/api/openapi.yml
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/api/openapi.yml

contract: install-dev ## the backend contract suite; BACKEND=name for one of them
	@$(BIN)/python -m pytest tests/contracts $(if $(BACKEND),-k $(BACKEND))

# Most of them look at all processes of the machine, so one at a time; the outages are mostly waiting.
kill: install-dev ## the long kill tests, half an hour
	@FATHOM_LONG_TESTS=1 $(BIN)/python -m pytest tests/kill -m "kill or not kill" -k "not stay_away" --timeout 3600
	@FATHOM_LONG_TESTS=1 $(BIN)/python -m pytest tests/kill -m "kill or not kill" -k stay_away -n 8 --timeout 3600

# Each client has an environment of its own: they cannot live beside each other, nor beside us. The newest also trains.
mlflow-clients: install-dev
	@$(call CLIENT,newest,mlflow-skinny==3.17.2 scikit-learn pandas matplotlib) && $(call CLIENT,2.22,mlflow-skinny==2.22.5) && \
	  $(call CLIENT,2.9,mlflow-skinny==2.9.2 "setuptools<80") \
	  || echo "MLflow's clients could not be installed. The tests that need them are skipped."

mlflow-server: install-dev
	@$(call CLIENT,server,"mlflow[auth]==3.17.2" "psycopg[binary]" uvloop httptools)

CLIENT = { test -e build/mlflow/$(1)/.made || { $(BIN)/uv venv --quiet --python $(BIN)/python build/mlflow/$(1) && \
	$(BIN)/uv pip install --quiet --python build/mlflow/$(1)/bin/python $(2) && touch build/mlflow/$(1)/.made; }; }

mlflow: mlflow-clients mlflow-server ## MLflow's clients against its own server and against Fathom: the same answers
	@FATHOM_LONG_TESTS=1 $(BIN)/python -m pytest tests/mlflow_clients --timeout 1800

bench: install-dev ## the benchmarks, written to benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks

requirements: install-dev ## compile requirements/*.in into the pinned files
	@mkdir -p build
	@$(BIN)/uv pip compile $(COMPILE) requirements/base.in -o requirements.txt
	@sed '/^-e/d' requirements.txt > build/constraints.txt
	@$(BIN)/uv pip compile $(COMPILE) -c build/constraints.txt requirements/dev.in -o requirements-dev.txt
	@$(BIN)/uv pip compile $(filter-out --only-binary :all:,$(COMPILE)) -c build/constraints.txt requirements/ldap.in -o requirements-ldap.txt

COMPILE = --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
	--only-binary :all: --no-binary fathom --custom-compile-command "make requirements"

clean: ## remove what was built; the data folder stays
	@rm -rf build staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage
	@find apps config sdk tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
