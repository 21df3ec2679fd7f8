# One word a habit. `make run` and `make test` are all a newcomer needs.
PYTHON ?= $(shell command -v python3.12 || command -v python3.11 || command -v python3)
BIN := .venv/bin
OUT ?= out/sample
PRESET ?= standard

.PHONY: setup run test lint types fmt bench docs lock clean

setup: .venv/installed

.venv/installed: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

run: setup
	$(BIN)/objectscan reconstruct samples/rocket -o $(OUT) --preset $(PRESET)

test: setup
	$(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

fmt: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/renderer.py
	$(BIN)/python benchmarks/isosurface.py

docs: setup
	$(BIN)/python -m pytest tests/test_docs.py

# Writes the locks from an environment that `make setup` made and that was updated by hand.
lock: setup
	$(BIN)/python benchmarks/lock.py

clean:
	rm -rf .venv out build *.egg-info src/*.egg-info
