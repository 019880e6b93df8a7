# Every target makes its own virtual environment first; nothing needs to be installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE_VENV := .venv-image
# Distributions build Python with profile-guided optimization, as the image's is; one that was compiled here often is not, and takes a tenth more CPU.
BENCH_VENV := .venv-bench
BENCH_PYTHON ?= $(shell /usr/bin/python3 -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo /usr/bin/python3 || echo $(PYTHON))
# What another version of Python can change.
IMAGE_TESTS := tests/access tests/cli tests/config tests/kube tests/probes tests/transport tests/web tests/test_tls_contexts.py
SYSTEM_PACKAGES := prometheus prometheus-blackbox-exporter prometheus-alertmanager fish zsh iptables iproute2 procps conntrack wrk chromium etcd-server
CLUSTER_PACKAGES := buildah containernetworking-plugins debootstrap etcd-server ipset iptables iproute2 runc
RECORDINGS ?= exporter/demo/states
TARGETS ?=
BENCH_OPTIONS ?=
HASHES_OPTIONS ?=
DIST ?= dist
CLUSTER_OPTIONS ?=
# Of two cores most tests leave a half idle: they wait for real parts.
PROCESSES ?= 3
PYTEST_OPTIONS ?=

.PHONY: demo test test-slow test-image-python test-cluster cluster cluster-assets cluster-times check lint format chart pictures runbooks hashes dist bench bench-scale bench-environment soak recordings fleet clean system-packages test-assets behaviour
.DEFAULT_GOAL := help

help:
	@echo "make demo        run the exporter on a mesh of healthy and broken proxies"
	@echo "make test        run the tests that a change needs (as root on Debian it installs what they need)"
	@echo "make test-slow   run the tests that are slow by nature: black holes, stops of a minute, pictures"
	@echo "make test-image-python  run what an interpreter can change on the image's Python"
	@echo "make test-assets find or compile the control plane that the tests use"
	@echo "make cluster     run a real Kubernetes cluster on this machine until Ctrl-C (CLUSTER_OPTIONS='--nodes 2 --istio')"
	@echo "make test-cluster  run the tests in such a cluster, with Istio (as root on Debian, with Go)"
	@echo "make cluster-times  measure in such a cluster how long two dozen breaks take to their alert (about 20 minutes)"
	@echo "make check       format, lint, types, layers and tests"
	@echo "make chart       rewrite what the chart takes from other files"
	@echo "make pictures    draw the docs' dashboards, with Grafana's own panels, and page (as root on Debian)"
	@echo "make runbooks    rewrite docs/diagnosis.md from the causes, and the served runbooks from docs/"
	@echo "make hashes      rewrite requirements/: versions and hashes of what is installed (HASHES_OPTIONS='--upgrade')"
	@echo "make dist        build wheel, sdist, SBOM and checksums into dist/, as a release does"
	@echo "make bench       measure the promises side by side"
	@echo "make bench-scale measure the promises about size: thousands of captured sidecars (as root)"
	@echo "make soak        half an hour of churn, scrapes and hostile pods: whether memory and lateness stay flat"
	@echo "make fleet PODS=DIR   show how the pods of a folder are read: role, ports, capture, families, moved ports"
	@echo "make recordings RECORDINGS=DIR   replay recorded states and judge them"
	@echo "make behaviour BEFORE=DIR AFTER=DIR   show in what two checkouts say different things of recorded states"

# Hashes first, then the project alone: nothing is installed that requirements/ does not name.
PIP_INSTALL := install --quiet --disable-pip-version-check
ITSELF := --no-deps --no-build-isolation -e .

$(VENV)/.run: pyproject.toml requirements/run.txt requirements/build.txt
	@echo "Setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip $(PIP_INSTALL) --require-hashes -r requirements/run.txt -r requirements/build.txt
	@$(BIN)/python -m pip $(PIP_INSTALL) $(ITSELF)
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "Adding the development tools to $(VENV) ..."
	@$(BIN)/python -m pip $(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

system-packages:
	@tests/system-packages $(SYSTEM_PACKAGES)

demo: $(VENV)/.run
	@tests/system-packages iproute2 iptables >/dev/null
	@$(BIN)/istio-port-exporter demo $(if $(TARGETS),--targets $(TARGETS))

test-assets: system-packages
	@$(PYTHON) -m tests.real.kubernetes.assets

test: $(VENV)/.dev system-packages test-assets
	@$(BIN)/python -m pytest -m "not slow" --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

test-slow: $(VENV)/.dev system-packages test-assets
	@command -v npm >/dev/null || tests/system-packages npm
	@$(BIN)/python -m pytest -m slow --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

$(IMAGE_VENV)/.dev: $(VENV)/.dev
	@echo "Setting up $(IMAGE_VENV) with the image's Python ..."
	@python=$$($(BIN)/python -m tests.image_python) && $$python -m venv --without-pip --clear $(IMAGE_VENV)
	@$(BIN)/python -m pip --python $(IMAGE_VENV)/bin/python $(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip --python $(IMAGE_VENV)/bin/python $(PIP_INSTALL) $(ITSELF)
	@touch $@

test-image-python: $(IMAGE_VENV)/.dev system-packages test-assets
	@$(IMAGE_VENV)/bin/python -m pytest -m "not slow" --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS) $(IMAGE_TESTS)

cluster-assets: $(VENV)/.dev
	@tests/system-packages $(CLUSTER_PACKAGES)
	@$(BIN)/python -m tests.cluster.assets

cluster: cluster-assets
	@$(BIN)/python -m tests.cluster $(CLUSTER_OPTIONS)

test-cluster: cluster-assets
	@$(BIN)/python -m pytest $(PYTEST_OPTIONS) tests/cluster --ignore=tests/cluster/test_times.py

cluster-times: cluster-assets
	@$(BIN)/python -m pytest tests/cluster/test_times.py

lint: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: lint test

# For every platform and Python: versions stay unless they have to move, or HASHES_OPTIONS='--upgrade' lets them.
hashes: $(VENV)/.dev
	@$(BIN)/python -m release.requirements $(HASHES_OPTIONS)

# What a release publishes and needs no platform for.
dist: $(VENV)/.dev
	@rm -rf $(DIST)
	@$(BIN)/python -m hatchling build --directory $(DIST)
	@$(BIN)/twine check --strict $(DIST)/*
	@$(BIN)/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --output-reproducible \
		--output-file $(DIST)/istio-port-exporter.cdx.json
	@cd $(DIST) && sha256sum * > SHA256SUMS

chart: $(VENV)/.dev
	@$(BIN)/python -m charts.generate

pictures: $(VENV)/.dev system-packages
	@command -v npm >/dev/null || tests/system-packages npm
	@tests/system-packages pngquant
	@$(BIN)/python -m tests.dashboards.pictures

runbooks: $(VENV)/.dev
	@$(BIN)/python -m docs.runbooks

bench: test-assets bench-environment
	@$(BENCH_VENV)/bin/python -m benchmarks

bench-scale: bench-environment
	@$(BENCH_VENV)/bin/python -m benchmarks.scale $(if $(TARGETS),--targets $(TARGETS)) $(BENCH_OPTIONS)

bench-environment: system-packages
	@$(MAKE) --no-print-directory VENV=$(BENCH_VENV) PYTHON=$(BENCH_PYTHON) $(BENCH_VENV)/.dev

soak: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.soak

fleet: $(VENV)/.dev
	@$(BIN)/python tests/fleet/run.py $(PODS)

recordings: $(VENV)/.dev system-packages
	@$(BIN)/python tests/recordings/run.py $(RECORDINGS)

# Both see the replay of this checkout; each needs a virtual environment (`make .venv/.run` there).
behaviour: $(VENV)/.dev system-packages
	@folder=$$(mktemp -d) && record="$(BIN)/python -m benchmarks.behaviour record --states $(RECORDINGS)" && \
	$$record --exporter $(BEFORE) --out $$folder/before && \
	$$record --exporter $(AFTER) --out $$folder/after && \
	$(BIN)/python -m benchmarks.behaviour compare $$folder/before $$folder/after

clean:
	@rm -rf $(VENV) $(IMAGE_VENV) $(BENCH_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
