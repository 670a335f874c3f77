# The README's two commands are here: `make demo` and `make test`. Each sets up what it needs by itself, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.test-ready

.PHONY: demo test lint bench clean

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cinecord needs Python 3.11 or newer; set PYTHON=…")'
	@echo "Setting up $(VENV) (once; about half a minute) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable .
	@touch $@

$(TEST_READY): $(READY)
	@echo "Adding what the tests need to $(VENV) …"
	@$(PIP) --editable '.[test]'
	@touch $@

demo: $(READY)
	@$(BIN)/cinecord demo $(ARGS)

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(TEST_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright --warnings

bench: $(TEST_READY)
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .coverage
