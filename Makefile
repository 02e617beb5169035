# Every target makes what it needs and is safe to repeat. PYTHON names a Python 3.11 or 3.13, which Blender's bpy wheels run
# on; without it 3.11 is taken if this machine has it, else 3.13.
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
SRC    := ex4d backend protocol blender_addon tests benchmarks examples scripts
ANY    := $(shell for p in python3 python3.11 python3.13; do $$p -c "" 2>/dev/null && echo $$p && break; done)
PYTHON  = $(shell $(ANY) scripts/blender_versions.py python 3.11 3.13)
OWN_BLENDER = $(shell $(BIN)/python scripts/blender_versions.py main)
export EX4D_VENV := $(abspath $(VENV))

.DEFAULT_GOAL := help
.PHONY: help demo test test-versions test-slow test-ui check format bench bench-guides bench-backend bench-blender bench-live eval eval-ci eval-moving eval-fill docs docs-pages versions-page pictures pictures-ui wheel addon clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# -- environments ------------------------------------------------------------------------------------------

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 13)))' 2>/dev/null || \
	  { echo "Python 3.11 or 3.13 is needed (Blender's bpy module runs on no other), and '$(PYTHON)' is neither: install one, or name it with 'make PYTHON=/path/to/python3.13'." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.base: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing the base environment with Blender $(OWN_BLENDER) into $(VENV) (once, a minute or two) ..."
	@bash scripts/system_packages.sh base
	@$(PIP) install -c constraints.txt 'bpy==$(OWN_BLENDER)' -e '.[blender]'
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

# A Blender of its own, small and without torch: for the add-on's tests and for building its zips.
.venv-bpy%/.done: constraints.txt scripts/blender_versions.py
	@$(ANY) scripts/blender_versions.py install $* .venv-bpy$*

# -- what people run ---------------------------------------------------------------------------------------

demo: $(VENV)/.base ## Run the whole way through on the example clip, into out/demo/
	@$(BIN)/python examples/demo.py --output out/demo

# The add-on's tests, in one Blender after the other, run beside the others: two processes, as continuous integration has
# cores.
USUAL := not slow and not ui and not gpu
test: $(VENV)/.dev ## Run the tests, and those of the add-on in every Blender version
ifeq ($(ARGS),)
	@mkdir -p out/versions; { EX4D_BLENDER_RESULTS=out/versions/$(OWN_BLENDER).json $(BIN)/python scripts/run_tests.py --kept out/tests-blender -m "$(USUAL)" tests/blender; own=$$?; \
	  test $$own -ne 2 || exit 2; \
	  $(BIN)/python scripts/run_versions.py --jobs 1 --brief && exit $$own; } > out/versions/summary.txt 2>&1 & blenders=$$!; \
	  $(BIN)/python scripts/run_tests.py --kept out/tests -m "$(USUAL)" --ignore=tests/blender; others=$$?; \
	  wait $$blenders; blender=$$?; cat out/versions/summary.txt; exit $$((others || blender))
else
	@$(BIN)/python -m pytest -m "$(USUAL)" $(ARGS)
	@echo "Other Blender versions are left out: ARGS picks tests. 'make test-versions' runs them."
endif

test-versions: $(VENV)/.dev ## Run the add-on's tests in the other Blender versions, two at a time (VERSIONS="--only 5.3.0")
	@$(BIN)/python scripts/run_versions.py --whole $(VERSIONS)

test-slow: $(VENV)/.dev ## Run the tests that take long, and all of the add-on's in every Blender version
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest -m slow --timeout=3600; own=$$?; \
	  $(BIN)/python scripts/run_versions.py --all; other=$$?; exit $$((own || other))
else
	@$(BIN)/python -m pytest -m slow --timeout=3600 $(ARGS)
	@echo "Other Blender versions are left out: ARGS picks tests. 'make test-slow' runs them."
endif

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

eval-moving: $(VENV)/.dev ## Judge the estimate of the filming camera on rooms whose truth is known, into out/eval_moving/ (some minutes)
	@$(BIN)/python scripts/eval_moving.py out/eval_moving $(ARGS)

eval-fill: $(VENV)/.dev ## Judge how previews fill holes, on held-out scenes whose other views are known, into out/eval_fill/ (some minutes)
	@$(BIN)/python scripts/eval_fill.py out/eval_fill $(ARGS)

# Not with --quiet, which hides the warnings from --strict, too.
docs: $(VENV)/.docs ## Build the documentation into out/site/ and check its links and generated pages
	@$(BIN)/python scripts/docs_cli.py --check
	@$(BIN)/python scripts/docs_errors.py --check
	@$(BIN)/python scripts/docs_figures.py --check
	@$(BIN)/python scripts/docs_formats.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@$(BIN)/python scripts/check_links.py --site out/site
	@echo "The documentation is in out/site/index.html"

docs-pages: $(VENV)/.docs ## Write the pages that are made from the code and from measured results
	@$(BIN)/python scripts/docs_cli.py
	@$(BIN)/python scripts/docs_errors.py
	@$(BIN)/python scripts/docs_figures.py
	@$(BIN)/python scripts/docs_formats.py

versions-page: $(VENV)/.docs ## Keep the outcomes of the last 'make test' and 'make test-versions' for the docs' table of Blender versions
	@$(BIN)/python scripts/run_versions.py --keep
	@$(BIN)/python scripts/docs_figures.py

pictures: $(VENV)/.dev ## Make the docs' pictures from the example clip, and the gallery page (some minutes)
	@$(BIN)/python scripts/make_diagram.py
	@$(BIN)/python scripts/make_pictures.py
	@$(BIN)/python scripts/make_fill_pictures.py
	@$(BIN)/python scripts/make_gallery.py
	@$(BIN)/python scripts/make_web_picture.py

pictures-ui: test-ui ## Make the docs' pictures of the running extension
	@$(BIN)/python scripts/docs_images.py

wheel: ## Build the backend's wheel with kernels compiled for this system into dist/ (some minutes); 'make addon' carries it then
	@$(PYTHON) scripts/build_wheel.py

addon: ## Build and validate the extension's zips into dist/ (no torch needed)
	@$(ANY) scripts/blender_versions.py addon scripts/build_addon.py

clean: ## Remove environments and everything that was made
	rm -rf $(VENV) .venv-bpy* out dist build
	find . -name __pycache__ -prune -exec rm -rf {} +
