# `make demo` and `make test` do everything on a fresh machine: Python 3.11 to 3.13, make, git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .cache/demo

.PHONY: demo test lint docs bench eval auto-gptq clean

# Recreated where pyproject.toml or a pinned version changed; what is already right is not fetched again.
$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "ragqa needs Python 3.11 to 3.13: make PYTHON=python3.12 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,gptq,plot]'
	touch $@

demo: $(VENV)/.base
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh data/demo.sh $(DEMO)

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/make_cli.py --check

docs: $(VENV)/.dev
	$(BIN)/python docs/make_cli.py

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) .venv-auto-gptq .cache build dist
