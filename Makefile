# `make reproduce` and `make test` do everything, each with its own install into .venv.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# uv where it exists, pip elsewhere; both install what constraints.txt pins.
ifneq ($(shell command -v uv),)
INSTALL = UV_FIND_LINKS="$$PIP_FIND_LINKS" uv pip install --quiet --python $(BIN)/python
else
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help reproduce test coverage check types style wheel loops docs catboost gallery benchmark clean
help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

reproduce: .venv/.installed  ## rebuild the paper's experiments into results/ (ARGS="--seeds 5 --individual" passes options)
	$(BIN)/knowlimits reproduce --out results $(ARGS)

test: .venv/.installed-test  ## the whole test suite, with style, types and the build
	@# Each of these keeps one core busy. Loops are compiled here, as each worker would otherwise do it.
	$(MAKE) -j 2 check loops
	@# The blocks of a page go on where the last has ended, so they stay on one worker; tests go where there is time.
	$(BIN)/python -m pytest -q -n 2 --dist loadfile README.md docs
	$(BIN)/python -m pytest -q -n 2 --dist worksteal tests

catboost: .venv/.installed-test  ## install CatBoost, which is large, so that its tests run too
	$(INSTALL) -c constraints.txt catboost

coverage: .venv/.installed-test  ## run the tests once more, and say which lines they run
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --cov --cov-report=term tests

check: types style wheel

types: .venv/.installed-test
	$(BIN)/pyright

style: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

PAGE := src/knowlimits/auditing/show/page
wheel: .venv/.installed-test
	@mkdir -p build
	$(BIN)/python -m build --no-isolation --outdir build/dist >build/build.log 2>&1 || (cat build/build.log; exit 1)
	$(BIN)/python -m zipfile -l $$(ls -t build/dist/*.whl | head -1) | grep -c -E 'half_moons.toml|search_space.toml|show/page/.*\.(html|css|js)' | \
	  grep -q -x $$((2 + $$(ls $(PAGE)/*.html $(PAGE)/*.css $(PAGE)/*.js | wc -l)))

loops: .venv/.installed-test
	$(BIN)/python -W ignore -m tests.compiled

docs: .venv/.installed-docs  ## build the documentation into docs/_build
	$(BIN)/sphinx-build -W -q -b html docs docs/_build

gallery: catboost  ## redraw the figures and tables that docs/ and README show
	$(BIN)/knowlimits reproduce --out docs/gallery $(ARGS)
	$(BIN)/knowlimits search --out docs/search
	$(BIN)/knowlimits detect --out docs/detect
	$(BIN)/python -m examples.medical --out docs/audit/medical --force
	$(BIN)/python -m examples.tables --out docs/audit/tables --force
	$(BIN)/python -m examples.boosted --out docs/audit/boosted --force
	@command -v chromium >/dev/null || (echo "the picture of the report needs Chromium"; exit 1)
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1200,2300 --screenshot=docs/audit/report.png \
		"file://$(CURDIR)/docs/audit/medical/NN.html"

benchmark: .venv/.installed  ## time training, limits and polytopes against PyTorch and forward passes
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.far_field
	$(BIN)/python -m benchmarks.partition
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.detectors
	$(BIN)/python -m benchmarks.audit
	$(BIN)/python -m benchmarks.guard
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.families

clean:  ## remove the environment and everything built
	rm -rf .venv build dist results docs/_build

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml constraints.txt
	@mkdir -p build
	$(INSTALL) -c constraints.txt -e .
	@touch $@

.venv/.installed-test: .venv/.installed
	$(INSTALL) -c constraints.txt -e '.[test]'
	@touch $@

.venv/.installed-docs: .venv/.installed
	$(INSTALL) -c constraints.txt -e '.[docs]'
	@touch $@
