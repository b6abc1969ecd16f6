# Two commands do all set-up: `make train` and `make test`. The others assume nothing either.
#
#   make train      train an LSTM on MNIST's rows for 3 epochs, measure, draw and export it
#   make test       lint and test
#   make test-slow  test the cells on JAX, ONNX and LiteRT, killed runs, machines, servers, benchmarks
#   make test-bench test the benchmarks with PyTorch and JAX beside, and the cells on PyTorch
#   make serve      serve what was exported, with a page to draw on
#   make audit      look for known vulnerabilities in what is pinned
#   make lint       lint alone
#   make format     format the code
#   make lock       compile the pinned requirements anew
#
# PYTHON=python3.12 chooses the interpreter of the virtual environment; ARGS='--units=64' adds flags.

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

# Without the network it is skipped; with it, pins that cannot be installed are an error.
test-bench:
	@if $(MAKE) $(BENCH)/installed; \
	then $(BENCH)/bin/python -m pytest --dist=load -m slow tests/benchmarks/test_peers.py $(ARGS) && \
		KERAS_BACKEND=torch $(BENCH)/bin/python -m pytest --dist=load -m 'slow or not slow' \
			tests/models/test_cells.py $(ARGS); \
	elif $(RUN) -c 'import requests; requests.get("https://pypi.org/simple/torch/", timeout=10)' \
			2>/dev/null; \
	then exit 1; \
	else echo "make test-bench: skipped: PyPI cannot be reached"; fi

# A package of old is known to be vulnerable: where not even that is known, nothing can be found out.
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

# An environment of its own, so that all other tests show that PyTorch is not needed. It has what
# $(VENV) has. The pins are constraints: a PyTorch without CUDA is not given NVIDIA's libraries.
$(BENCH)/installed: requirements-bench.txt $(VENV)/installed-dev
	$(RUN) -m venv $(BENCH)
	$(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth"
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check triton \
		-r requirements-bench.in -c requirements-bench.txt
	@touch $@
