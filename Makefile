# `make` alone lists what can be made. The first call of book, test or lint makes the environment.
.DEFAULT_GOAL := help
.NOTPARALLEL:

PROFILE ?= demo
JOBS ?=
MANIFEST ?=
VENV ?= .venv

# The first Python 3.11 on the PATH; without one, whatever python3 is, so that the doctor can say what it found.
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$$name" && exit; \
	done; command -v python3 || echo python3.11)

BIN := $(VENV)/bin
PIP = "$(BIN)/python" -m pip
LOCKED = $(shell grep -E '^($(1))==' requirements.lock)
# The name of the stamp holds what was installed, so that a changed lock, and nothing else, installs again.
STAMP := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | cksum | cut -d ' ' -f 1)

define NEED_PYTHON
[ -x "$(BIN)/python" ] || command -v "$(PYTHON)" >/dev/null || { \
	echo "Python must be 3.11, but none was found. Debian: apt-get install python3.11 python3.11-venv python3.11-dev" >&2; \
	exit 1; }
endef

.PHONY: help setup book test codecheck lint doctor lock clean distclean

help: ## List what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  PROFILE=smoke|demo|paper|own   settings of the run (now $(PROFILE))"
	@echo "  JOBS=N                         cores to use (all when left out; 2 for the tests)"
	@echo "  MANIFEST=FILE                  your patients, with PROFILE=own"
	@echo "  PYTHON=FILE                    Python 3.11 that the environment is made from"
	@echo "  VENV=FOLDER                    environment to use (now $(VENV))"

setup: $(STAMP) ## Make the environment that requirements.lock pins (every other target does so itself)

# Looks before anything is installed, with the Python that the environment has or will have.
$(STAMP):
	@$(call NEED_PYTHON)
	@"$$([ -x "$(BIN)/python" ] && echo "$(BIN)/python" || echo "$(PYTHON)")" src/hccbook/doctor.py --before-install
	@echo "[1/6] Environment in $(VENV)"
	@$(PIP) --version >/dev/null 2>&1 || "$(PYTHON)" -m venv "$(VENV)"
	@echo "[2/6] pip and what builds packages"
	$(PIP) install $(call LOCKED,pip|setuptools|wheel)
	@echo "[3/6] numpy and torch, the largest download: a few minutes"
	$(PIP) install --constraint requirements.lock $(call LOCKED,numpy|torch)
	@echo "[4/6] The other locked packages: a few minutes"
	@grep -v '^pyradiomics==' requirements.lock > "$(VENV)/without-pyradiomics.txt"
	$(PIP) install --requirement "$(VENV)/without-pyradiomics.txt"
	@echo "[5/6] PyRadiomics, compiled here against the installed numpy"
	@# The archive stays: it holds the clinical images and the published values that the tests compare with.
	$(PIP) download --no-build-isolation --no-deps --no-binary :all: --dest "$(VENV)/sources" $(call LOCKED,pyradiomics)
	@# A wheel kept from another environment may have been compiled against another numpy.
	$(PIP) install --no-build-isolation --no-deps --no-cache-dir --no-index --find-links "$(VENV)/sources" $(call LOCKED,pyradiomics)
	@echo "[6/6] hccbook itself"
	$(PIP) install --no-deps --no-build-isolation --editable .
	@echo "      Compiling the loops of the radiomics engine, once for all processes"
	@"$(BIN)/python" -c 'from hccbook.features.radiomics import find_engine; find_engine("fast")'
	@rm -f "$(VENV)"/.installed-*
	@touch "$(STAMP)"

book: setup ## Run the pipelines and render the book (PROFILE=demo; the last line is the page to open)
	"$(BIN)/hccbook" run --profile "$(PROFILE)"$(if $(JOBS), --jobs $(JOBS))$(if $(MANIFEST), --manifest "$(MANIFEST)")
	"$(BIN)/hccbook" build --profile "$(PROFILE)"$(if $(MANIFEST), --manifest "$(MANIFEST)")

test: setup ## Test the package, then the notebooks at the smoke profile
	"$(BIN)/python" -m pytest --numprocesses $(or $(JOBS),2) --dist loadfile -m "not thorough" tests
	"$(BIN)/python" -m pytest --nbval --nbval-current-env -p no:xdist notebooks

codecheck: setup ## Make every table and figure of codecheck.yml anew and compare (a few minutes)
	"$(BIN)/hccbook" codecheck$(if $(JOBS), --jobs $(JOBS))

lint: setup ## Check style, complexity, docstrings and types of the code
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"

doctor: ## Say whether this machine is ready, what is missing, and what to do
	@$(call NEED_PYTHON)
	@if [ -e "$(STAMP)" ]; then "$(BIN)/hccbook" doctor; else "$(PYTHON)" src/hccbook/doctor.py; fi

# Not after setup: that would undo the upgrade which is to be locked.
lock: ## Write requirements.lock from what is installed in the environment
	@$(PIP) freeze --all --exclude-editable --exclude hccbook | sed 's/+.*//' > "$(VENV)/freeze.txt"
	@! grep -v -E '^[A-Za-z0-9._-]+==[A-Za-z0-9.!]+$$' "$(VENV)/freeze.txt" \
	|| { echo "make lock: each line must be name==version. Install the above from a package index." >&2; exit 1; }
	@{ echo "# Every package of the environment, Python 3.11. Made by: make lock"; \
	echo; echo "# Installed first: pip and what builds packages."; \
	grep -E '^(pip|setuptools|wheel)==' "$(VENV)/freeze.txt"; \
	echo; echo "# PyRadiomics is installed last, built without isolation against the numpy named here."; \
	grep -v -E '^(pip|setuptools|wheel)==' "$(VENV)/freeze.txt"; } > requirements.lock
	@rm -f "$(VENV)/freeze.txt"
	@echo "requirements.lock: $$(grep -c == requirements.lock) packages. Keep pyproject.toml and environment.yml in step."

clean: ## Remove results/ (the rendered book lies there too) and caches; the environment stays
	rm -rf results .snakemake .pytest_cache .ruff_cache .hypothesis
	find src tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the environment too
	rm -rf .venv src/*.egg-info
