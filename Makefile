# One word a habit. `make run` and `make test` are all that a newcomer needs.

# The first of these that runs, is 3.11 or 3.12 and can make environments: version managers leave stubs that don't.
PYTHON ?= $(shell for name in python3.11 python3.12 python3 python; do \
	$$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
SAMPLE := samples/rocket
OUT ?= out/sample
PRESET ?= preview

.PHONY: setup run test test-gpu lint types fmt bench docs lock clean

setup: .venv/installed

.venv/installed: requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 with venv is needed (Debian: apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: setup
	$(BIN)/objectscan reconstruct $(SAMPLE) -o $(OUT) --preset $(PRESET)

test: setup tests/validator/node_modules/.package-lock.json
	$(BIN)/python -m pytest -n 2

# The renderer on a CUDA GPU against the CPU; needs a CUDA build of torch in .venv.
test-gpu: setup
	$(BIN)/python -m pytest --override-ini addopts="-q --strict-markers --timeout=600" tests/gpu

# Khronos' validator; installed here, once, because test workers run side by side.
tests/validator/node_modules/.package-lock.json: tests/validator/package-lock.json
	@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --prefix tests/validator; \
	else echo "No npm: tests with Khronos' validator are skipped, and fail in CI."; fi

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

fmt: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Figures of the renderer and of surface extraction, one JSON line each.
bench: setup
	$(BIN)/python benchmarks/renderer.py
	$(BIN)/python benchmarks/isosurface.py

# Settings, errors, findings and verbs must all be documented, and links must lead somewhere.
docs: setup
	$(BIN)/python -m pytest tests/test_docs.py

# Pins what is installed in .venv, after it was updated by hand there.
lock: setup
	$(BIN)/python benchmarks/lock.py

clean:
	rm -rf .venv out build src/*.egg-info
