# Two commands do everything on a fresh machine: `make demo` and `make test`.
#
# Settings: PYTHON=python3.12 chooses the interpreter, VENV=DIR the environment; pip's own variables are
# honoured (PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu takes the CPU build of torch).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# setuptools would warn, in a box, of what an installation from the checkout itself means
PIP := PYTHONWARNINGS="ignore:Editable installation" $(BIN)/python -m pip --disable-pip-version-check
CONSTRAINTS := packaging/constraints.txt
# torch is named exactly: a range would let pip pass over an installed CPU build for a larger one
TORCH := torch==2.13.0

.PHONY: demo gui gguf test test-fast lint bench screenshots wheel system clean

demo: $(VENV)/application
	@$(BIN)/llm-workbench demo

gui: $(VENV)/application
	@$(BIN)/llm-workbench gui

# the llama.cpp engine: compiled once (about ten minutes), then taken from the user's cache
gguf: $(VENV)/gguf

# two processes, a file at a time each: half of the tests wait for a process of their own
test: $(VENV)/development lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# without real engine processes: about a minute
test-fast: $(VENV)/development
	$(BIN)/python -m pytest -m "not real and not wheel"

lint: $(VENV)/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/development
	$(BIN)/python -m benchmarks

screenshots: $(VENV)/development
	LLM_WORKBENCH_SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/widgets/test_screenshots.py

wheel: $(VENV)/development
	$(BIN)/python -m build --wheel --outdir dist .

system:
	@$(PYTHON) packaging/check_system.py $(if $(DISPLAY),--display)

$(BIN)/python:
	@$(MAKE) --no-print-directory system
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q --upgrade pip setuptools

$(VENV)/application: $(BIN)/python pyproject.toml $(CONSTRAINTS)
	@echo "Installing the application and its transformers engine into $(VENV) (torch is the largest part)"
	$(PIP) install -q -c $(CONSTRAINTS) "$(TORCH)" -e ".[transformers]"
	@touch $@

$(VENV)/development: $(VENV)/application
	$(PIP) install -q -c $(CONSTRAINTS) "$(TORCH)" -e ".[transformers,quanto,tasks,data,nsa,dev]"
	@touch $@

$(VENV)/gguf: $(VENV)/application
	$(BIN)/python -m engines.llama.install --quiet -c $(CONSTRAINTS)
	@touch $@

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
