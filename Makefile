# `make help` lists what there is. Logic lives in hack/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
UV := hack/uv
RUN := PYTHONPATH=hack $(UV) run --quiet

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ First steps
.PHONY: demo demo-down test
demo: cluster-up images-load .venv ## A cluster, the chart, a model, a prediction, a canary: the main job, told as a story
	$(RUN) python -m lab.demo

demo-down: cluster-down ## Remove the demo and its cluster

test: ## Everything: checks, unit, contract, integration and end-to-end tests on a real cluster
	hack/test

##@ Inner loop
.PHONY: check fix unit integration conformance e2e upgrade measure storm scale bench fuzz histories power soak h2spec
check: .venv ## Formatting, lint, types, layers, and drift of generated files
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy operator/src runtime/src runtime/nghttp2/src runtime/numbers/src hack tests
	$(RUN) lint-imports
	$(UV) lock --check --quiet
	$(RUN) python -m tidegate_operator.api.crd | diff - crds/tidegate.dev_inferenceservices.yaml
	diff crds/tidegate.dev_inferenceservices.yaml charts/tidegate/files/crd.yaml
	$(RUN) python -m tidegate_operator.api.page | diff - docs/spec.md
	$(RUN) hack/protos --check

fix: .venv ## Format, and mend what the linter can
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

unit: .venv ## Unit and contract tests, without a cluster
	$(RUN) pytest -m "not integration and not e2e and not upgrade"

integration: .venv ## Tests that start real servers on this machine
	$(RUN) pytest -m integration

conformance: .venv ## Named checks of the protocol against our runtime; ARGS="--only rest.infer" chooses
	$(RUN) python -m lab.conformance $(ARGS)

e2e: cluster-up images-load .venv ## End-to-end tests on the cluster
	$(RUN) pytest --e2e -m e2e

upgrade: cluster-up images-load release-load .venv ## From the last release to this tree, on a cluster without Tidegate
	$(RUN) pytest --e2e -m upgrade

h2spec: .venv ## HTTP/2 conformance of the nghttp2 transport, by h2spec
	$(RUN) python -m h2spec

measure: cluster-up images-load .venv ## Figures: apply to Deployment, apply to Ready, weight to share, memory, CRD size
	$(RUN) python -m lab.measure

storm: cluster-up images-load .venv ## Twenty rollouts, ten aborted, under REST and gRPC load: what callers lost; STORM=--help
	$(RUN) python -m lab.storm $(STORM)

scale: .venv ## Figures of the control plane with 1,000 services, without a node; SCALE="--count 300", SCALE=--help
	$(RUN) python -m scale $(SCALE)

fuzz: .venv ## Fuzz a connection's bytes for a minute (FUZZ_SECONDS=…), with h11 as the oracle; FUZZ=grpc: messages
	PYTHONPATH=hack $(UV) run --quiet --group fuzz python -m fuzz $(or $(FUZZ),http) $(or $(FUZZ_SECONDS),60)

histories: .venv ## A hundred thousand steps of rollouts: all events in any order, two controllers, lost writes
	TIDEGATE_HISTORIES=10 $(RUN) pytest -q tests/operator/test_rollout_invariants.py

soak: .venv ## A million mixed requests, each answer held against its own request; SOAK="--count 10000", SOAK=--help
	$(RUN) python -m soak $(SOAK)

bench: .venv ## This runtime beside its peers on one core: BENCH="tabular json", BENCH=--quick, BENCH=--help
	$(RUN) python -m bench $(BENCH)

power: .venv ## What the analysis of canaries finds, and how often it is wrong: the table in docs/evidence.md (POWER="--runs 1000")
	$(RUN) python -m power $(POWER)

##@ Parts
.PHONY: crds pages protos images images-load release-load cluster-up cluster-down cluster-status setup clean
crds: .venv ## Make the CRD, and docs/spec.md, from the models
	$(RUN) python -m tidegate_operator.api.crd > crds/tidegate.dev_inferenceservices.yaml
	cp crds/tidegate.dev_inferenceservices.yaml charts/tidegate/files/crd.yaml
	$(RUN) python -m tidegate_operator.api.page > docs/spec.md

pages: .venv ## Write the tables of docs/ that come from the code
	TIDEGATE_WRITE_PAGES=1 $(RUN) pytest -q tests/operator/test_rollout_page.py
	$(RUN) python -m explained

protos: .venv ## Make the gRPC messages' code from the .proto files
	$(RUN) hack/protos

images: ## Build the images whose files have changed
	hack/images build

images-load: images ## ... and bring them into the cluster
	hack/cluster load $$(hack/images archive)

release-load: ## The last release's images, built as they were, into the cluster
	hack/cluster load $$(hack/release archive)

cluster-up: ## A one-node cluster: kind, your own (CLUSTER=current), or upstream binaries
	hack/cluster up

cluster-down: ## Remove it, and all it changed on this machine
	hack/cluster down

cluster-status: ## What of it runs
	hack/cluster status

setup: .venv ## The development environment

clean: ## Remove what was made in the checkout
	rm -rf .venv artifacts .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

NGHTTP2 := pyproject.toml c/shim.c src/tidegate_nghttp2/shim.h vendor/nghttp2/SHA256SUMS
NUMBERS := pyproject.toml $(addprefix c/,decimal.c decimal.h number.h numbers.c powers.h) src/tidegate_numbers/shim.h
NATIVE := runtime/hatch_build.py $(addprefix runtime/nghttp2/,$(NGHTTP2)) $(addprefix runtime/numbers/,$(NUMBERS))

.venv: pyproject.toml operator/pyproject.toml runtime/pyproject.toml hack/conformance/pyproject.toml $(NATIVE) uv.lock
	$(UV) sync --quiet --frozen --all-packages --extra cpu
	@touch .venv
