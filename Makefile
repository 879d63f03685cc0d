# Fourfold: `make demo` trains a network, `make test` proves the rest. Python 3.11 or newer is all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check format bench clean

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

# The classic networks beside the same ones in Keras. DATA=folder takes another IDX folder than the sample.
bench: $(READY)
	@$(BIN)/python benchmarks/classic.py $(if $(DATA),--data $(DATA))

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
