# Every command installs the packages that it needs into .venv first.
#
#   make train      train an LSTM on MNIST's rows for 3 epochs, evaluate it, draw figures, export it
#   make test       lint and test
#   make test-slow  test JAX, ONNX, LiteRT, killed runs, several processes, servers and benchmarks
#   make test-bench test the benchmarks against PyTorch and JAX, and the cells on PyTorch
#   make serve      serve the exported models, with a page to draw on
#   make audit      check the pinned packages for known vulnerabilities
#   make lint       lint and check the format
#   make format     format the code
#   make lock       compile the pinned requirements again
#
# PYTHON=python3.12 selects the interpreter of the virtual environment. ARGS='--units=64' adds flags.

PYTHON ?= python3
ARGS ?=
VENV := .venv
RUN := $(VENV)/bin/python
BENCH := $(VENV)/bench

.PHONY: train serve test test-slow test-bench audit lint format lock
.DELETE_ON_ERROR:

train: $(VENV)/installed
	$(RUN) main.py --model=lstm --dataset=auto --epochs=3 $(ARGS)

serve: $(VENV)/installed
	$(RUN) serve.py $(ARGS)

test: lint
	$(RUN) -m pytest $(ARGS)
	@echo "make test: all checks passed"

test-slow: $(VENV)/installed-formats $(VENV)/installed-ray
	KERAS_BACKEND=jax JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu \
		$(RUN) -m pytest --dist=load -m 'slow or not slow' tests/models/test_cells.py $(ARGS)
	$(RUN) -m pytest tests/export/test_formats.py $(ARGS)
	$(RUN) -m pytest -m slow tests $(ARGS)

# Skipped without the network. With it, pins that cannot be installed are an error.
test-bench:
	@if $(MAKE) $(BENCH)/installed; \
	then $(BENCH)/bin/python -m pytest --dist=load -m slow tests/benchmarks/test_peers.py $(ARGS) && \
		KERAS_BACKEND=torch $(BENCH)/bin/python -m pytest --dist=load -m 'slow or not slow' \
			tests/models/test_cells.py $(ARGS); \
	elif $(RUN) -c 'import requests; requests.get("https://pypi.org/simple/torch/", timeout=10)' \
			2>/dev/null; \
	then exit 1; \
	else echo "make test-bench: skipped: PyPI cannot be reached"; fi

# Skipped where PyPI's list of vulnerabilities cannot be reached. The check asks for a package that is
# known to be vulnerable, requests 2.19.0.
audit: $(VENV)/installed-dev
	@if $(RUN) -c 'import requests; assert requests.get("https://pypi.org/pypi/requests/2.19.0/json", \
			timeout=10).json()["vulnerabilities"]' 2>/dev/null; \
	then $(VENV)/bin/pip-audit --requirement requirements.txt --disable-pip --no-deps --strict; \
	else echo "make audit: skipped: PyPI's list of vulnerabilities cannot be reached"; fi

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/installed-dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

lock: $(VENV)/installed-dev
	$(VENV)/bin/uv pip compile --quiet --universal --python-version=3.11 --no-emit-index-url \
		--custom-compile-command='make lock' requirements.in --output-file=requirements.txt
	$(VENV)/bin/uv pip compile --quiet --universal --python-version=3.11 --no-emit-index-url \
		--custom-compile-command='make lock' requirements-dev.in --output-file=requirements-dev.txt
	$(VENV)/bin/uv pip compile --quiet --universal --python-version=3.11 --no-emit-index-url \
		--custom-compile-command='make lock' requirements-bench.in --output-file=requirements-bench.txt
	$(VENV)/bin/uv pip compile --quiet --universal --python-version=3.11 --no-emit-index-url \
		--custom-compile-command='make lock' requirements-formats.in --output-file=requirements-formats.txt
	$(VENV)/bin/uv pip compile --quiet --universal --python-version=3.11 --no-emit-index-url \
		--custom-compile-command='make lock' requirements-ray.in --output-file=requirements-ray.txt

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); expected Python 3.11, 3.12 or 3.13;" \
			"name one, as in: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/installed-formats: requirements-formats.txt $(VENV)/installed-dev
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-formats.txt
	@touch $@

$(VENV)/installed-ray: requirements-ray.txt $(VENV)/installed-dev
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-ray.txt
	@touch $@

# A separate environment, so that all other tests run without PyTorch. It also sees the packages of
# $(VENV). The pins are only constraints, so a PyTorch without CUDA does not install NVIDIA's packages.
$(BENCH)/installed: requirements-bench.txt $(VENV)/installed-dev
	$(RUN) -m venv $(BENCH)
	$(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth"
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check triton \
		-r requirements-bench.in -c requirements-bench.txt
	@touch $@
