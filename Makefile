# Every target makes what it needs and is safe to repeat. PYTHON names a Python 3.11 (Blender's bpy wheel needs it).
PYTHON ?= python3.11
VENV   ?= .venv
VENV50 ?= .venv-bpy50
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
SRC    := ex4d backend protocol blender_addon tests benchmarks examples scripts
export EX4D_VENV := $(abspath $(VENV))
export EX4D_BPY50_PYTHON := $(abspath $(VENV50))/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-ui check format bench bench-guides bench-backend bench-blender bench-live eval eval-ci docs docs-pages pictures pictures-ui addon clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# -- environments ------------------------------------------------------------------------------------------

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null 2>&1 && $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed (Blender's bpy module runs on no other) and '$(PYTHON)' is not one: install it, or name it with 'make PYTHON=/path/to/python3.11'." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.base: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing the base environment with Blender into $(VENV) (once, a minute or two) ..."
	@bash scripts/system_packages.sh base
	@$(PIP) install -c constraints.txt -e '.[blender]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base pyproject.toml constraints.txt
	@echo "Installing the test environment into $(VENV) (once, a few minutes) ..."
	@bash scripts/system_packages.sh test
	@$(PIP) install -c constraints.txt 'torch==2.13.0'
	@$(PIP) install -c constraints.txt -e '.[blender,wan,depth,dev]'
	@touch $@

# On top of .dev: the command line's page lists the wan engine's settings, which need its extra.
$(VENV)/.docs: $(VENV)/.dev pyproject.toml constraints.txt
	@echo "Installing what builds the documentation into $(VENV) (once) ..."
	@$(PIP) install -c constraints.txt -e '.[blender,wan,depth,dev,docs]'
	@touch $@

$(VENV50)/.done: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing Blender 5.0 into $(VENV50) for the add-on's tests (once) ..."
	@$(PYTHON) -m venv $(VENV50)
	@$(VENV50)/bin/python -m pip --disable-pip-version-check -q install -c constraints-bpy50.txt bpy numpy pyzmq msgspec pytest
	@touch $@

# -- what people run ---------------------------------------------------------------------------------------

demo: $(VENV)/.base ## Run the whole way through on the example clip, into out/demo/
	@$(BIN)/python examples/demo.py --output out/demo

test: $(VENV)/.dev $(VENV50)/.done ## Run the tests
	@$(BIN)/python -m pytest -m "not slow and not ui and not gpu" $(ARGS)

test-slow: $(VENV)/.dev $(VENV50)/.done ## Run the tests that take long
	@$(BIN)/python -m pytest -m slow --timeout=3600 $(ARGS)

test-ui: $(VENV)/.dev ## Drive the panel in a real Blender window (Xvfb) and keep screenshots in out/ui/
	@bash scripts/system_packages.sh ui
	@$(BIN)/python -m pytest -m ui tests/ui $(ARGS)

check: $(VENV)/.dev ## Lint, types, import arrows, spelling
	@$(BIN)/ruff format --check $(SRC)
	@$(BIN)/ruff check $(SRC)
	@$(BIN)/pyright --warnings
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/check_cycles.py
	@git ls-files -z --cached --others --exclude-standard | xargs -0 $(BIN)/codespell

format: $(VENV)/.dev ## Put the code into the project's form
	@$(BIN)/ruff check --fix $(SRC)
	@$(BIN)/ruff format $(SRC)

bench: bench-guides bench-backend bench-blender bench-live ## Run the benchmarks that need no GPU

bench-guides: $(VENV)/.dev ## Guides against Embree, JSON with seconds per stage
	@$(BIN)/python benchmarks/guides.py

bench-backend: $(VENV)/.dev ## Transfers, round trips and cancel against bare pyzmq, JSON
	@$(BIN)/python benchmarks/backend.py

bench-live: $(VENV)/.dev ## From a camera change in Blender to its picture, JSON
	@$(BIN)/python benchmarks/live.py

bench-blender: $(VENV)/.dev ## Import and playback in Blender, JSON
	@$(BIN)/python benchmarks/blender_import.py
	@$(BIN)/python benchmarks/blender_layers.py

eval-ci: $(VENV)/.dev ## Score the guides against three small ground-truth scenes, into out/eval_ci/
	@$(BIN)/python scripts/run_eval.py out/eval_ci --set ci $(ARGS)

eval: $(VENV)/.dev ## Score them against the full set of scenes, into out/eval/ (up to an hour)
	@$(BIN)/python scripts/run_eval.py out/eval --set full $(ARGS)

# Not with --quiet, which hides the warnings from --strict, too.
docs: $(VENV)/.docs ## Build the documentation into out/site/ and check its links and generated pages
	@$(BIN)/python scripts/docs_cli.py --check
	@$(BIN)/python scripts/docs_errors.py --check
	@$(BIN)/python scripts/docs_figures.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@$(BIN)/python scripts/check_links.py --site out/site
	@echo "The documentation is in out/site/index.html"

docs-pages: $(VENV)/.docs ## Write the pages that are made from the code and from measured results
	@$(BIN)/python scripts/docs_cli.py
	@$(BIN)/python scripts/docs_errors.py
	@$(BIN)/python scripts/docs_figures.py

pictures: $(VENV)/.base ## Make the docs' pictures from the example clip, and the gallery page (some minutes)
	@$(BIN)/python scripts/make_diagram.py
	@$(BIN)/python scripts/make_pictures.py
	@$(BIN)/python scripts/make_gallery.py

pictures-ui: test-ui ## Make the docs' pictures of the running extension
	@$(BIN)/python scripts/docs_images.py

addon: $(VENV)/.dev ## Build and validate the extension's zips into dist/
	@$(BIN)/python scripts/build_addon.py

clean: ## Remove environments and everything that was made
	rm -rf $(VENV) $(VENV50) out dist build
	find . -name __pycache__ -prune -exec rm -rf {} +
