# Everything a newcomer types. Each target sets up what it needs in .venv, says so, and is quick when
# nothing changed: a stamp file per set of dependencies, renewed when pyproject.toml changes.

PYTHON  ?= python3
EXAMPLE ?= tabletop
VENV    := .venv
BIN     := $(VENV)/bin
# Without --no-warn-conflicts pip would repeat panopticapi-lite's needless pins as errors.
PIP     := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-warn-conflicts

# Two processes on two cores are faster than one that threads.
export OMP_NUM_THREADS ?= 1

.PHONY: chromium help setup dataset train compare pretrain test test-all bench lint clean
.DEFAULT_GOAL := help

help:
	@echo "make setup      environment with seem-data (.venv; no torch)"
	@echo "make dataset    build the example dataset into dataset/  (EXAMPLE=photos: real photographs)"
	@echo "make train      fine-tune on dataset/ and show what it learned"
	@echo "make compare    all strategies from the same weights, side by side; an hour or two"
	@echo "make pretrain   teach seem-tiny an endless world of scenes, as it was; minutes on a large GPU, else hours"
	@echo "make test       quick tests            make test-all   every test, numpy 1 and 2"
	@echo "make bench      speed against baselines, side by side"
	@echo "make chromium   a browser for the slow tests of the demo's page (Debian)"
	@echo "make lint       ruff, pyright, imports make clean      remove .venv and what was built"

# --- set-up --------------------------------------------------------------------------------------------

setup: $(VENV)/.base

$(VENV)/.base: pyproject.toml
	@test -x $(BIN)/python || { echo "Creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing seem-tools (no torch)"
	@$(PIP) --upgrade "pip>=23.1"
	@$(PIP) --editable .
	@# panopticapi-lite pins numpy < 2 and plotting libraries that its code never uses.
	@$(PIP) --no-deps "panopticapi-lite==0.2.0"
	@$(BIN)/python -c "import cv2" 2>/dev/null || $(MAKE) --no-print-directory headless
	@touch $@

# Bare servers lack libGL, which opencv-python links to; the headless build of the same version does without.
.PHONY: headless
headless:
	@version=$$($(BIN)/python -c "from importlib.metadata import version; print(version('opencv-python'))") && \
	echo "import cv2 fails here (no libGL?): using opencv-python-headless $$version instead" && \
	$(BIN)/python -m pip --disable-pip-version-check uninstall --quiet --yes opencv-python && \
	$(PIP) "opencv-python-headless==$$version" && $(BIN)/python -c "import cv2"

$(VENV)/.examples: $(VENV)/.base
	@echo "Installing scikit-image, whose bundled photographs the example uses"
	@$(PIP) --editable ".[examples]"
	@touch $@

$(VENV)/.train: $(VENV)/.base
	@echo "Installing torch and the rest of the 'train' extra (about 7 GB with CUDA; minutes)"
	@$(PIP) --editable ".[train,demo]"
	@touch $@

$(VENV)/.dev: $(VENV)/.train $(VENV)/.examples
	@echo "Installing the tools for development"
	@$(PIP) --editable ".[dev]"
	@touch $@

# --- use -----------------------------------------------------------------------------------------------

ifeq ($(EXAMPLE),photos)
DATASET := dataset-photos
dataset: $(VENV)/.examples
else
DATASET := dataset
dataset: $(VENV)/.base
endif
dataset:
	@$(BIN)/python examples/$(EXAMPLE)/make.py build/$(EXAMPLE)
	@echo '$$ seem-data build --colors examples/$(EXAMPLE)/categories.json --polys build/$(EXAMPLE) --out $(DATASET)'
	@$(BIN)/seem-data build --colors examples/$(EXAMPLE)/categories.json --polys build/$(EXAMPLE) --out $(DATASET)
	@$(BIN)/seem-data stats $(DATASET)

train: $(VENV)/.train
	@test -d dataset || $(MAKE) --no-print-directory dataset
	@echo '$$ seem-train run dataset --config examples/tabletop/train.yaml'
	@$(BIN)/seem-train run dataset --config examples/tabletop/train.yaml
	@echo "  look:  $(BIN)/seem-train demo runs/tabletop --images dataset/val/images --compare base"

compare: $(VENV)/.train
	@test -d dataset || $(MAKE) --no-print-directory dataset
	$(BIN)/python examples/tabletop/compare.py dataset

# Ctrl-C saves; the same command goes on.
pretrain: $(VENV)/.train $(VENV)/.examples
	nice -n 19 $(BIN)/python -m examples.world.pretrain build/pretrain

# --- development ---------------------------------------------------------------------------------------

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

# The data suite runs a second time on numpy 1.26, in an environment of its own.
test-all: $(VENV)/.dev $(VENV)/numpy1/.ready
	$(BIN)/python -m pytest -n 2 -m "not bench"
	$(VENV)/numpy1/bin/python -m pytest -n 2 tests/data

$(VENV)/numpy1/.ready: pyproject.toml
	@echo "Creating a second environment on numpy 1.26"
	@$(PYTHON) -m venv $(VENV)/numpy1
	@$(VENV)/numpy1/bin/python -m pip --disable-pip-version-check install --quiet --upgrade "pip>=23.1"
	@$(VENV)/numpy1/bin/python -m pip --disable-pip-version-check install --quiet "numpy==1.26.*" --editable ".[dev,examples]"
	@$(VENV)/numpy1/bin/python -m pip --disable-pip-version-check install --quiet --no-deps "panopticapi-lite==0.2.0"
	@touch $@

bench: $(VENV)/.dev
	$(BIN)/python -m pytest tests/benchmarks -m bench -s

# The slow tests of the demo's page need a browser, and skip themselves without one.
chromium:
	@command -v chromium || { \
	  test "$$(id -u)" = 0 || { echo "installing chromium takes root: sudo make chromium"; exit 1; }; \
	  apt-get update && apt-get install --yes chromium; }

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dataset dataset-photos
