# Fourfold: `make demo` trains a network, `make test` proves the rest. Python 3.11 or newer is all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check format bench bench-accuracy torture clean

demo: $(READY)
	@$(BIN)/python examples/demo.py

test: $(READY)
	@OMP_NUM_THREADS=2 $(BIN)/python -m pytest

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/codespell

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Speed beside every peer. PART=cnn (rnn, autoencoder, gan, resnet, gru, inference, process) takes one part, of 20
# minutes at most; DATA=folder takes MNIST's IDX folder in place of the sample. Peers' environments are made first.
bench: $(READY)
	@$(BIN)/python benchmarks/bench.py --part $(or $(PART),all) $(if $(DATA),--data $(DATA))

# The classic networks' accuracy beside the same ones in Keras.
bench-accuracy: $(READY)
	@$(BIN)/python benchmarks/classic.py $(if $(DATA),--data $(DATA))

# Thousands of trainings killed and gone on with; about an hour. FAMILIES=gan PART=2/5 does a part, which is merged with the
# others in benchmarks/results/torture.json.
torture: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/torture.py --kills 1000 --sites --faults --flips 10000 \
		--results benchmarks/results/torture.json $(if $(FAMILIES),--families $(FAMILIES)) $(if $(PART),--part $(PART))

# Installed anew whenever a requirement changes. torch comes first and alone, so that its exact version is settled
# before anything else could ask for another.
$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
