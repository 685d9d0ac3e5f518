# make demo   the three workflows on the lab model, and a contact sheet of what came out
# make test   ruff, mypy, pytest (a process a core, up to four, each with one thread)
# make bench  the main figures of the docs anew, in the background; goes on where it was stopped (2.2 hours of one core)
#             BENCH="compose attack" takes other parts of `bench all`, BENCH=all every one
# make test-comfyui   with COMFYUI_PATH=...: a server, every workflow over HTTP, the page in a headless Chromium
# All make .venv first. A torch that $(PYTHON) can import is reused; else the tested one is installed, by your own
# pip configuration. Nothing is downloaded once .venv is there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
BENCH := lab.json localize learn/ erase.json match score
export HF_HUB_OFFLINE := 1

.PHONY: demo bench test test-comfyui lint types check clean

demo: $(READY)
	$(BIN)/python -m concept_atelier demo --out output/demo

bench: $(READY)
	OMP_NUM_THREADS=1 nice -n 5 $(BIN)/python -m concept_atelier bench all $(if $(filter all,$(BENCH)),,--only $(BENCH))

test: $(READY) lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# Needs the Python package playwright (installed here) and a Chromium of the system's (or CHROMIUM=...).
test-comfyui: $(READY)
	@test -f "$(COMFYUI_PATH)/main.py" || { \
	  echo "set COMFYUI_PATH to the folder of an installed ComfyUI (and COMFYUI_PYTHON to its Python, where that is"; \
	  echo "not in .venv or venv there): make test-comfyui COMFYUI_PATH=~/ComfyUI"; exit 2; }
	@test -n "$(CHROMIUM)" || command -v chromium chromium-browser google-chrome >/dev/null || { \
	  echo "needs a Chromium on the path, or CHROMIUM set to one"; exit 2; }
	$(BIN)/python -c "import playwright" 2>/dev/null || $(BIN)/python -m pip install "playwright>=1.40"
	ATELIER_SERVED=1 COMFYUI_PATH="$(COMFYUI_PATH)" $(BIN)/python -m pytest -rs tests/comfyui/served

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	mkdir -p .cache/src
	ln -sfn ../.. .cache/src/concept_atelier
	MYPYPATH=.cache/src $(BIN)/mypy --cache-dir .cache/mypy -p concept_atelier.core -p concept_atelier.host \
	  -p concept_atelier.training

$(READY): requirements-tested.txt requirements-torch.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	@if $(PYTHON) -c "import torch" 2>/dev/null; then \
	  $(PYTHON) -c "import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))" \
	    > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_borrowed_torch.pth"; \
	  echo "using the torch that $(PYTHON) has"; \
	fi
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install -r requirements-torch.txt
	$(BIN)/python -m pip install -r requirements-tested.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	touch $(READY)

clean:
	rm -rf $(VENV) .cache output
