# `make demo` and `make test` do everything on a fresh machine: Python 3.11 to 3.13, make, git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .cache/demo

.PHONY: demo test lint docs bench eval baseline model tuned auto-gptq clean

# Recreated where pyproject.toml or a pinned version changed; what is already right is not fetched again.
$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "ragqa needs Python 3.11 to 3.13: make PYTHON=python3.12 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.gptq: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gptq]'
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,gptq,plot]'
	touch $@

# First the engine that quotes, from the base install; then torch, and the GPTQ model, which its first use makes.
demo: $(VENV)/.base
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh data/demo.sh $(DEMO)
	@$(MAKE) --no-print-directory $(VENV)/.gptq
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh data/demo-model.sh $(DEMO)

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/make_cli.py --check

docs: $(VENV)/.dev
	$(BIN)/python docs/make_cli.py

# Writes docs/quality.md. Where sets of questions lie: RAGQA_EVAL_DATA, else ../shared. Indexes and finished
# figures are kept in WORK: a run that was stopped goes on. For one set: make eval EVAL='--only qed'.
WORK ?= .cache/eval
eval: $(VENV)/.dev
	$(BIN)/python benchmarks/quality.py --work $(WORK) $(EVAL)

# What tests/test_gate.py holds quality to, after a change that is meant to move it.
baseline: $(VENV)/.dev
	$(BIN)/python -m tests.gate

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/gptq.py smollm2 --cpu-time
	$(BIN)/python benchmarks/check.py

# The model that answers, as its first use would make it: downloads 93 MB once, minutes of CPU.
model: $(VENV)/.dev
	$(BIN)/ragqa model make

# The recipe of docs/recipe.md, end to end: text, examples, both stages, the folder that answers. Hours on a CPU;
# stopped, it goes on where it was.
TUNED ?= .cache/tuned
TUNING := smollm2-135m --rank 16 --frozen-blocks 12 --processes 2
tuned: $(VENV)/.dev
	$(BIN)/python benchmarks/finetune_text.py $(TUNED)/text
	$(BIN)/python benchmarks/reader_near_misses.py --set $(TUNED)/near --part near
	$(BIN)/python benchmarks/finetune_data.py $(TUNED)/first --near $(TUNED)/near
	$(BIN)/ragqa model finetune $(TUNING) $(TUNED)/first/run --text $(TUNED)/text --window 2048 --reach 16384 \
		--long-steps 110 --examples $(TUNED)/first/examples.jsonl --answer-steps 640
	$(BIN)/python benchmarks/finetune_data.py $(TUNED)/second --near $(TUNED)/near --groups 1500 --seed 1 --blanks 0.25
	$(BIN)/ragqa model finetune $(TUNING) $(TUNED)/second/run --from $(TUNED)/first/run/adapter --long-steps 0 \
		--examples $(TUNED)/second/examples.jsonl --validation $(TUNED)/second/validation.jsonl \
		--answer-steps 560 --answer-rate 1.2e-3
	test -f $(TUNED)/model/config.json || \
		$(BIN)/ragqa model assemble smollm2-135m $(TUNED)/second/run/adapter $(TUNED)/model

# The environment of the engine auto-gptq, apart from the project's own.
auto-gptq: .venv-auto-gptq/.ready

.venv-auto-gptq/.ready: constraints-auto-gptq.txt
	test -x .venv-auto-gptq/bin/python || $(PYTHON) -m venv .venv-auto-gptq
	.venv-auto-gptq/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--constraint constraints-auto-gptq.txt auto-gptq==0.7.1
	.venv-auto-gptq/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement constraints-auto-gptq.txt
	touch $@

clean:
	rm -rf $(VENV) .venv-auto-gptq .cache build dist
