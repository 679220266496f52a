# The few commands that everyone uses. `make repro` and `make test` work right after `git clone`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

# its programs and its editable install name the folder that it was made in: moved or copied, it runs the code there
MADE_FOR := $(shell sed -n 's/^command = .* -m venv //p' $(VENV)/pyvenv.cfg 2>/dev/null)
ifneq ($(MADE_FOR),)
ifneq ($(MADE_FOR),$(CURDIR)/$(VENV))
$(error $(VENV) was made as $(MADE_FOR), and would run the code there: rm -rf $(VENV), then make again)
endif
endif

.PHONY: help repro register shipped native test slow chaos lint format faults constraints niivue bench scaling clean

help:
	@echo "make repro        environment, then the whole pipeline; ends with a registered model and the answer"
	@echo "make shipped      train the model of params.shipped.yaml, on synthetic people, in build/shipped; goes on where it stopped"
	@echo "make native       both scales on phantoms at 1 mm (params.phantom1mm.yaml) in build/native; goes on where it stopped (hours)"
	@echo "make test         environment, then the tests"
	@echo "make slow         the tests that take minutes, one after the other; ends with how long they took"
	@echo "make chaos        kill -9 of trainings at random instants; is anything lost, are the bits the same? (half an hour)"
	@echo "make lint         ruff, mypy --strict, import contracts"
	@echo "make bench        the benchmarks that need neither a GPU nor peers; JSON into benchmarks/results"
	@echo "make scaling      what workers and cases cost, and the model, figures and tables of docs/explanation/scaling.md"
	@echo "make faults       write docs/reference/exit-codes-and-faults.md anew from femseg/faults.py"
	@echo "make niivue       renew the viewer in the pages of cases, from npm"
	@echo "make constraints  renew constraints.txt from pyproject.toml's bounds"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "femseg needs Python 3.11 or newer; set PYTHON=..."; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: apt-get install python3-venv"; exit 2; }

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.run

repro: $(VENV)/.run
	dvc repro
	python -m pipelines.register
	@sed -n '/^\*\*/s/\*\*//gp' reports/comparison.md
	@echo "keep it:    git add dvc.lock && git commit -m 'Run the pipeline'"
	@echo "then:       dvc metrics diff    shows what the next change of params.yaml does to it"
	@echo "look at it: reports/comparison.html, and mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db"

register: $(VENV)/.run
	python -m pipelines.register

shipped: $(VENV)/.dev
	test -d build/shipped || git clone --quiet . build/shipped # it goes on with the code that it began with
	cp params.shipped.yaml build/shipped/params.yaml
	cd build/shipped && PYTHONPATH=$$PWD/platform dvc repro train@both

native: $(VENV)/.dev
	test -d build/native || git clone --quiet . build/native # it goes on with the code that it began with
	cp params.phantom1mm.yaml build/native/params.yaml
	cd build/native && PYTHONPATH=$$PWD/platform dvc repro compare
	python -m benchmarks.pipeline.native_resolution --output benchmarks/results/native_resolution.json --figure docs/images/native_resolution.png

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 python -m pytest --numprocesses 2

slow: $(VENV)/.dev
	OMP_NUM_THREADS=1 python -m pytest -m slow --durations 20

chaos: $(VENV)/.dev
	python -m benchmarks.chaos.chaos --kills 100 --ray 12 --nodes 8 --output benchmarks/results/chaos.json

lint: $(VENV)/.dev
	ruff check . && ruff format --check . && mypy && lint-imports

format: $(VENV)/.dev
	ruff check --fix . ; ruff format .

bench: $(VENV)/.dev
	python -m benchmarks.training.vnet_step --output benchmarks/results/vnet_step.json
	python -m benchmarks.training.ray_train_overhead --output benchmarks/results/ray_train_overhead.json
	python -m benchmarks.training.painting_share --output benchmarks/results/painting_share.json
	python -m benchmarks.training.refine_step --output benchmarks/results/refine_step.json
	python -m benchmarks.training.training_startup --output benchmarks/results/training_startup.json
	python -m benchmarks.pipeline.metrics --output benchmarks/results/metrics.json
	python -m benchmarks.intake.intake_fuzz --output benchmarks/results/intake_fuzz.json
	python -m benchmarks.pipeline.arrays_large_ct --output benchmarks/results/arrays_large_ct.json
	python -m benchmarks.intake.intake_speed --output benchmarks/results/intake_speed.json
	python -m benchmarks.intake.mask_placement --output benchmarks/results/mask_placement.json
	python -m benchmarks.pipeline.outputs_cost --output benchmarks/results/outputs_cost.json
	python -m benchmarks.pipeline.twelve_studies --output benchmarks/results/twelve_studies.json
	python -m benchmarks.pipeline.demo_repro --output benchmarks/results/demo_repro.json
	python -m benchmarks.gate.promotion_gate --output benchmarks/results/promotion_gate.json
	python -m benchmarks.chaos.tracking_outage --output benchmarks/results/tracking_outage.json

scaling: $(VENV)/.dev
	python -m benchmarks.scaling.scaling_costs --output benchmarks/results/scaling_costs.json
	python -m benchmarks.scaling.case_count --output benchmarks/results/case_count.json
	python -m benchmarks.training.ray_train_overhead --output benchmarks/results/ray_train_overhead.json
	python -m benchmarks.scaling.scaling_page

faults: $(VENV)/.run
	python -m femseg.faults > docs/reference/exit-codes-and-faults.md

constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --editable '.[dev]'
	build/constraints/bin/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools \
	  | sed -e 's/+cpu$$//' -e '/^nvidia-/d' -e '/^cuda-/d' -e '/^triton==/d' -e '/^#/d' > constraints.txt
	rm -rf build/constraints

# what NiiVue's one file holds of others, each with its licence
NIIVUE := 0.69.0
VENDORED := platform/femseg/reports/niivue
NIIVUE_HOLDS := @lukeed/uuid @ungap/structured-clone @zarrita/storage array-equal fflate gl-matrix nifti-reader-js numcodecs zarrita
niivue:
	npm install --prefix build/niivue --no-save --ignore-scripts @niivue/niivue@$(NIIVUE)
	cp build/niivue/node_modules/@niivue/niivue/dist/niivue.umd.js $(VENDORED)/
	( echo "niivue.umd.js of the npm package @niivue/niivue, version $(NIIVUE), as it was published; LICENSE is NiiVue's own."; \
	  echo "SHA-256 $$(sha256sum < $(VENDORED)/niivue.umd.js | cut -d' ' -f1)"; \
	  echo "It holds code of these packages, under the licences that follow:"; \
	  for name in $(NIIVUE_HOLDS); do folder=build/niivue/node_modules/$$name; \
	    printf '\n%s\n%s, version %s\n\n' "----------------------------------------" "$$name" \
	      "$$(sed -n 's/^ *"version": "\(.*\)",/\1/p' $$folder/package.json)"; \
	    cat $$folder/[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*; done ) > $(VENDORED)/BUNDLED.txt

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
