# exemplar: `make serve` builds what is needed and serves models/; `make test` runs the short tests; `make` lists more.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One set of flags for everything in release, so that no two targets build over each other.
RELEASE := --configuration release --static-swift-stdlib
BINARY := .build/release/exemplar
MODELS ?= models
MODEL ?= small
ARGS ?=
SWIFT_FILES := Package.swift Sources Tests $(wildcard benchmarks/Package.swift benchmarks/Sources)
IMAGE ?= exemplar
MINUTES ?= 30

VENV := .build/venv
PYTHON := $(VENV)/bin/python
TRAINING_VENV := .build/training-venv
EVALUATION_VENV := .build/evaluation-venv

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

.PHONY: toolchain
toolchain:
	@.ci/check-toolchain
	@.ci/install-dependencies build

.PHONY: build
build: toolchain ## Install what is missing and build the release binary, .build/release/exemplar
	@swift build $(RELEASE) --product exemplar

.PHONY: serve
serve: build ## Build if needed and serve models/ on 127.0.0.1:7350; ARGS='--port 7351' passes flags on
	@exec $(BINARY) serve --models $(MODELS) $(ARGS)

.PHONY: test
test: test-swift test-optimized test-python test-replicas ## Run the short tests, of the documents' examples, too

.PHONY: test-swift
test-swift: toolchain ## Run the Swift tests; ARGS='--filter JSONRPC' chooses
	@swift test $(ARGS)

.PHONY: test-optimized
test-optimized: toolchain ## Run tests of what is shipped: the network, which may allocate nothing, and its replies
	@swift test --configuration release -Xswiftc -enable-testing --scratch-path .build-optimized \
		--filter 'ExemplarNetworkTests|JSONRPCTests|EmbedTests|ReplyTests|RepliesTests|MemoryBoundTests'

.PHONY: test-python
test-python: build $(VENV)/ready ## Run the Python client's tests, and the documents' examples, on the release binary
	@EXEMPLAR_BINARY=$(abspath $(BINARY)) $(PYTHON) -m pytest -p no:cacheprovider -rs clients/python

.PHONY: test-replicas
test-replicas: build ## Kill and drain one of two servers behind HAProxy under load; skipped where there is no haproxy
	@EXEMPLAR_BINARY=$(abspath $(BINARY)) python3 -m unittest discover --start-directory Tests/Replicas

$(VENV)/ready: clients/python/pyproject.toml | toolchain
	@.ci/install-dependencies test
	@python3 -m venv --clear $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable 'clients/python[test]'
	@touch $@

.PHONY: fuzz
fuzz: toolchain ## Fuzz what reads bytes of strangers, SECONDS=60 for each target; ARGS='image jsonrpc' chooses
	@Tests/Fuzz/run $(if $(filter command line,$(origin SECONDS)),$(SECONDS),60) $(ARGS)

.PHONY: soak
soak: faults ## Find a leak made on purpose, then load the server with good and bad clients for MINUTES=30
	@.ci/install-dependencies test
	@python3 -m unittest discover --start-directory Tests/Soak
	@echo "Three minutes of a server that leaks, which must be found:"
	@python3 Tests/Soak/soak.py --binary $(BINARY) --models $(MODELS) --minutes 3 --leak
	@python3 Tests/Soak/soak.py --binary $(BINARY) --models $(MODELS) --minutes $(MINUTES) $(ARGS)

.PHONY: faults
faults: build ## Make system calls of the release server fail, one kind after the other, and see that it goes on
	@.ci/install-dependencies test
	@python3 Tests/Soak/faults.py --binary $(BINARY) --model $(MODELS)/medium

.PHONY: arm64
arm64: toolchain ## Compile the kernels for arm64, look for spills, and compare their bits with AVX2's in an emulator
	@.ci/install-dependencies arm64
	@Tests/Arm64/run

.PHONY: bench
bench: toolchain ## Measure kernels and networks against the peak and against peers; QUICK=1: two minutes; ARGS=--help
	@.ci/install-dependencies test
	@benchmarks/run $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-serving
bench-serving: build ## Measure the server beside mosec, and what it promises; QUICK=1: 90 seconds; ARGS=--help
	@.ci/install-dependencies test
	@benchmarks/serving $(if $(QUICK),--quick) $(ARGS)

.PHONY: train
train: $(TRAINING_VENV)/ready ## Train models/$(MODEL) by its recipe, or go on with it; MODEL=small ARGS='--steps 40000'
	@cd models && exec $(abspath $(TRAINING_VENV))/bin/python -m training train --model $(MODEL) $(ARGS)

$(TRAINING_VENV)/ready: models/training/requirements.txt
	@.ci/install-dependencies test
	@python3 -m venv --clear $(TRAINING_VENV)
	@$(TRAINING_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: gallery
gallery: build $(EVALUATION_VENV)/ready ## Write models/evaluation/gallery.html: filters, surrogates, neighbours, plots
	@cd models && exec $(abspath $(EVALUATION_VENV))/bin/python -m evaluation.gallery $(ARGS)

$(EVALUATION_VENV)/ready: models/evaluation/requirements.txt clients/python/pyproject.toml | toolchain
	@.ci/install-dependencies test
	@python3 -m venv --clear $(EVALUATION_VENV)
	@$(EVALUATION_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable clients/python --requirement $<
	@touch $@

.PHONY: format
format: ## Rewrite the Swift sources in the house's format
	@swift format --in-place --parallel --recursive $(SWIFT_FILES)

.PHONY: lint
lint: ## Say where the Swift sources are not in the house's format, and which lines are over 120 columns
	@swift format lint --strict --parallel --recursive $(SWIFT_FILES)
	@.ci/check-line-lengths

.PHONY: container
container: ## Build the container image; IMAGE=exemplar names it, CONTAINER_ARGS passes flags on
	@if docker info >/dev/null 2>&1; then builder=docker format=; \
	elif command -v podman >/dev/null; then builder=podman format='--format docker'; \
	elif command -v buildah >/dev/null; then builder=buildah format='--format docker'; \
	else echo "Building the image needs docker (with its engine running), podman or buildah." >&2; exit 1; fi; \
	exec $$builder build $$format $(CONTAINER_ARGS) --tag $(IMAGE) .

.PHONY: clean
clean: ## Remove everything that was built
	@rm -rf .build .build-* benchmarks/.build
