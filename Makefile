# make demo · make test · make lint · make notebooks
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint notebooks clean

demo: $(INSTALLED)
	@$(BIN)/python -m lm_keras.demo

test: lint
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

# Runs every notebook top to bottom and keeps its outputs.
notebooks: $(INSTALLED)
	@$(BIN)/python tools/run_notebooks.py notebooks/*.ipynb

# The stamp is written last: an installation that was cut off starts again.
$(INSTALLED): setup.cfg requirements.txt pyproject.toml
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(INSTALLED)

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .ruff_cache
