# make demo · make test · make lint · make notebooks · make bench
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint notebooks bench clean

demo: $(INSTALLED)
	@$(BIN)/python -m lm_keras.demo

# In two runs: a process keeps what TensorFlow has made for each shape, and all tests in two took more than 24 GB.
LATER := tests/contexts tests/prompting tests/tasks tests/text tests/training tests/utils
test: lint
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(addprefix --ignore=,$(LATER))
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(LATER)

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

# Runs every notebook top to bottom and keeps its outputs.
notebooks: $(INSTALLED)
	@$(BIN)/python tools/run_notebooks.py notebooks/*.ipynb

# Speed beside the peers of benchmarks/requirements.txt, on a machine that does nothing else; it takes an hour.
# All rivals of the large model, or of BERT, at once would need more than 24 GiB.
PEERS := .venv-peers
RIVALS = --torch $(PEERS)/bin/python --keras-hub $(PEERS)/bin/python
bench: $(INSTALLED) $(PEERS)/.installed
	$(BIN)/python benchmarks/speed/machine.py
	$(BIN)/python benchmarks/speed/lstm_training.py --torch $(PEERS)/bin/python
	$(BIN)/python benchmarks/speed/lstm_training.py --torch $(PEERS)/bin/python --hidden-dim 650 --steps 8
	$(BIN)/python benchmarks/speed/gpt_training.py $(RIVALS) --size small
	$(BIN)/python benchmarks/speed/gpt_training.py $(RIVALS) --size medium
	$(BIN)/python benchmarks/speed/gpt_training.py --torch $(PEERS)/bin/python --size large
	$(BIN)/python benchmarks/speed/gpt_training.py --keras-hub $(PEERS)/bin/python --size large
	$(BIN)/python benchmarks/speed/growth.py
	$(BIN)/python benchmarks/speed/bert_finetuning.py --torch $(PEERS)/bin/python
	$(BIN)/python benchmarks/speed/bert_finetuning.py --keras-hub $(PEERS)/bin/python
	$(BIN)/python benchmarks/speed/decoding.py --transformers $(PEERS)/bin/python --keras-hub $(PEERS)/bin/python --rows 1
	$(BIN)/python benchmarks/speed/decoding.py --transformers $(PEERS)/bin/python --keras-hub $(PEERS)/bin/python --rows 8
	$(BIN)/python benchmarks/speed/blocks.py
	$(BIN)/python benchmarks/speed/token_cost.py
	$(BIN)/python benchmarks/speed/predict_loop.py
	$(BIN)/python benchmarks/speed/memory.py training --size medium --torch $(PEERS)/bin/python
	$(BIN)/python benchmarks/speed/memory.py training --size large --torch $(PEERS)/bin/python
	$(BIN)/python benchmarks/speed/memory.py decoding --transformers $(PEERS)/bin/python --keras-hub $(PEERS)/bin/python
	$(BIN)/python benchmarks/speed/text_speed.py
	$(BIN)/python benchmarks/speed/text_peers.py words
	$(BIN)/python benchmarks/speed/text_peers.py bpe --peer $(PEERS)/bin/python
	$(BIN)/python benchmarks/speed/vectors.py

$(PEERS)/.installed: benchmarks/requirements.txt
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# The stamp is written last: an installation that was cut off starts again.
$(INSTALLED): setup.cfg requirements.txt pyproject.toml
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(INSTALLED)

clean:
	rm -rf $(VENV) $(PEERS) runs build *.egg-info .pytest_cache .ruff_cache
