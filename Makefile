# `make demo` and `make test` work on a fresh machine: they create .venv and install what they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test slow cluster frameworks trackers check format

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/dnnrun train configs/digits.yaml
	$(BIN)/dnnrun eval runs/digits

test: $(VENV)/installed
	$(BIN)/python -m pytest -n logical --dist loadfile

slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow -n logical --dist load

# Ray is large: an environment of its own.
$(VENV)-ray/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-ray
	$(VENV)-ray/bin/pip install --quiet --constraint constraints.txt --editable '.[test,ray]'
	touch $@

cluster: $(VENV)-ray/installed
	$(VENV)-ray/bin/python -m pytest tests/sweep/test_ray.py -m 'slow or not slow'

# The other frameworks in an environment of their own. torch is named with its version: that one is small, without CUDA.
$(VENV)-frameworks/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-frameworks
	$(VENV)-frameworks/bin/pip install --quiet --constraint constraints.txt --editable '.[test,onnx,tensorflow,remote]' \
		torch==2.13.0 onnxscript 'keras>=3.14'
	touch $@

frameworks: $(VENV)-frameworks/installed
	$(VENV)-frameworks/bin/python -m pytest -m 'slow or not slow' -n logical --dist loadgroup tests/interop

# TensorBoard and MLflow bring much along: an environment of their own.
$(VENV)-trackers/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-trackers
	$(VENV)-trackers/bin/pip install --quiet --constraint constraints.txt --editable '.[test,tensorboard,mlflow]'
	touch $@

trackers: $(VENV)-trackers/installed
	$(VENV)-trackers/bin/python -m pytest tests/track

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n logical --dist loadfile

format: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
