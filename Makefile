# The whole project in a few commands; `make` alone lists them. Another Python: make setup PYTHON=python3.12

.DEFAULT_GOAL := help
.PHONY: help setup report check test test-long matrix lab clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LONG := $(VENV)/.long
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --progress-bar off
# torch for the CPU, from the index that PyTorch documents for it. A CUDA build (about 5 GB) only where it is asked for: make setup TORCH=cuda
TORCH ?= cpu
CPU_INDEX := https://download.pytorch.org/whl/cpu
VERSION := import sys; print('%d.%d' % sys.version_info[:2])
# A file of tests stays in one of the two processes, and so do all notebooks. Nothing is fetched from a model hub.
PYTEST := HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --no-loadscope-reorder

help:
	@echo 'make report     port the embedded model to the rehearsal device and leave a report in outputs/latest/'
	@echo 'make check      style and types: ruff and mypy, under a minute'
	@echo 'make test       every notebook, and every test but the long ones: at most 10 minutes'
	@echo 'make test-long  the tests that need a browser, wheels or dozens of models: at most 40 minutes'
	@echo 'make matrix     eight combinations of versions, one after the other, into docs/versions.md: about an hour'
	@echo 'make setup      only the environment: .venv with pinned packages; a second time it is quick'
	@echo 'make lab        open the notebooks in JupyterLab'
	@echo 'make clean      remove .venv; runs stay in outputs/'

setup: $(READY)
	@echo "The environment is ready: $(BIN)/goemo --help"

# torch is installed before everything else and exactly, or another package's open range decides which build comes.
$(READY): requirements-torch.txt requirements.txt requirements-py310.txt pyproject.toml
	@version=$$($(PYTHON) -c "$(VERSION)") || { echo "$(PYTHON) does not run; expected Python 3.10 to 3.13. Install one, or name it: make setup PYTHON=python3.11"; exit 2; }; \
	case $$version in 3.10|3.11|3.12|3.13) ;; *) echo "$(PYTHON) is Python $$version; expected 3.10 to 3.13. Name another: make setup PYTHON=python3.11"; exit 2;; esac; \
	[ "$$($(BIN)/python -c "$(VERSION)" 2>/dev/null)" = "$$version" ] || $(PYTHON) -m venv --clear $(VENV)
	@pins=requirements.txt; $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || pins=requirements-py310.txt; \
	echo "Installing torch into $(VENV) (its CPU build is about 200 MB, once)"; \
	[ "$(TORCH)" != cpu ] || $(PIP) --retries 1 --timeout 15 --no-deps --index-url $(CPU_INDEX) -r requirements-torch.txt 2>/dev/null || \
	echo "PyTorch's index of CPU builds did not answer; taking the build that pip's own settings bring. On x86-64 that may be the CUDA build, about 5 GB."; \
	$(PIP) -c $$pins -r requirements-torch.txt && \
	echo "Installing the packages of $$pins" && $(PIP) -c requirements-torch.txt -r $$pins
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(LONG): $(READY) requirements-long.txt requirements-stream.txt
	@echo "Installing the packages of requirements-long.txt" && $(PIP) -c requirements-torch.txt -c requirements.txt -r requirements-long.txt && \
	$(PIP) --no-deps -r requirements-stream.txt
	@touch $@

report: setup
	@$(BIN)/goemo run -f params/rehearsal.yaml

check: setup
	@$(BIN)/ruff format --check --quiet || { echo "Some files are not laid out by the formatter (named by: $(BIN)/ruff format --check). Run: $(BIN)/ruff format"; exit 1; }
	@$(BIN)/ruff check
	@$(BIN)/mypy

test: setup
	@$(PYTEST) notebooks tests -m 'not long and not campaign' --nbval-lax --nbval-current-env --nbval-cell-timeout=600 --ignore=notebooks/zh --ignore=notebooks/learn

test-long: $(LONG)
	@$(BIN)/goemo cann --fetch || echo 'The tests on the genuine torch_npu will be skipped.'
	@$(PYTEST) tests -m 'long and not campaign'

# Goes on where it was stopped; outputs/matrix holds a result for each, and is removed to begin again.
matrix:
	@$(PYTHON) checks/matrix.py

lab: setup
	@map=$$($(BIN)/python -m goemo_utils.notebook.landing) && \
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/$$map $(LAB_OPTIONS)

clean:
	rm -rf $(VENV)
