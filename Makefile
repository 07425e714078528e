# `make help` lists what there is. Logic lives in hack/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
UV := hack/uv
RUN := PYTHONPATH=hack $(UV) run --quiet
# Two, since each test takes up to a core, or waits. A file's tests stay together: they share what its fixtures start.
SIDE_BY_SIDE ?= --numprocesses 2 --dist loadfile
# Where the tests marked e2e are; tests/conftest.py sees to it that there are no others.
ON_A_CLUSTER := tests/chart tests/e2e tests/gateway

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
.PHONY: check fix unit integration prometheus conformance e2e upgrade gateway measure storm scale bench hops fuzz histories power soak h2spec
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
	$(RUN) pytest -m "not integration and not e2e and not upgrade and not envoygateway" $(SIDE_BY_SIDE)

integration: .venv ## Tests that start real servers on this machine
	$(RUN) pytest -m "integration and not alone and not prometheus" $(SIDE_BY_SIDE)
	$(RUN) pytest -m "integration and alone"

prometheus: .venv ## What is asked of Prometheus, held against Prometheus itself, which is built the first time
	$(RUN) pytest -m prometheus

conformance: .venv ## Named checks of the protocol, and onnx's operators, against our runtime; ARGS="--only rest.infer"
	$(RUN) python -m lab.conformance $(ARGS)

e2e: cluster-up images-load .venv ## End-to-end tests on the cluster
	$(RUN) pytest --e2e -m "e2e and not alone" $(SIDE_BY_SIDE) $(ON_A_CLUSTER)
	$(RUN) pytest --e2e -m "e2e and alone" $(ON_A_CLUSTER)

upgrade: cluster-up images-load release-load .venv ## From the last release to this tree, on a cluster without Tidegate
	$(RUN) pytest --e2e -m upgrade tests/upgrade

gateway: cluster-up images-load gateway-load .venv ## Provider Gateway by Envoy Gateway, which is built the first time
	$(RUN) pytest --e2e -m envoygateway tests/envoygateway

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

hops: .venv ## What the router's hop costs beside provider Direct: CPU and times, REST and gRPC; HOPS=--help
	$(RUN) python -m hops $(HOPS)

power: .venv ## What the analysis of canaries finds, and how often it is wrong: the table in docs/evidence.md (POWER="--runs 1000")
	$(RUN) python -m power $(POWER)

##@ Parts
.PHONY: crds pages protos images images-load release-load gateway-load cluster-up cluster-down cluster-status setup clean
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

gateway-load: .venv ## Envoy Gateway, built from its Go module, into the cluster
	hack/cluster load $$($(RUN) python -m envoygateway)

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
