# make demo | make test: both set up what they need. make help lists the rest.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Debian packages of the real parts: Engine, registry, stand-in base, and two readers of images that are not ours.
DEBS   := debian-archive-keyring docker.io docker-registry git mmdebstrap python3-venv skopeo umoci
SOURCES := rayimage scripts tests examples benchmarks

export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: system $(VENV)/.ready ## virtual environment, and Debian packages where we are root

system:
	@missing=$$(for deb in $(DEBS); do
	    dpkg-query -W -f '$${Status}' $$deb 2>/dev/null | grep -q 'ok installed' || echo $$deb
	done 2>/dev/null || true)
	[ -n "$$missing" ] || exit 0
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	    echo "not installed, and only root on Debian can: "$$missing". Tests that need them are skipped." >&2
	    exit 0
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null ||
	    echo "apt-get failed: tests that need "$$missing" are skipped." >&2

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -qq --editable . --group dev
	touch $@

base: setup ## the stand-in for rayproject/ray, in .cache/base (from its cache when it was built before)
	@[ -n "$${RAYIMAGE_TEST_BASE:-}" ] || $(BIN)/python scripts/standin_base.py --output .cache/base

demo: base ## lock and build the example, push it to a throw-away registry, show the YAML diff
	@$(BIN)/python -m examples.demo

bench: DEBS += buildah
bench: base ## rayimage beside docker build and buildah: medians, ratios, JSON and chart (BENCH="--resume" goes on)
	@$(BIN)/python -m benchmarks $(BENCH)

bench-quick: base ## the example once, beside docker build with uv
	@$(BIN)/python -m benchmarks --name quick --rounds 1 --project example --contender rayimage --contender docker-uv

lint: setup ## ruff and mypy
	@$(BIN)/ruff format --check --quiet $(SOURCES)
	$(BIN)/ruff check --output-format concise $(SOURCES)
	$(BIN)/mypy

unit: $(VENV)/.ready ## fast tests without a network
	@$(BIN)/python -m pytest -q tests/unit

test: lint ## everything: lint, types, unit, integration and end-to-end tests
	@$(BIN)/python -m pytest -q -n auto tests/unit
	$(BIN)/python -m pytest -q --durations=10 tests/integration tests/e2e

clean: ## what make made here; the stand-in stays in the user's cache
	@rm -rf $(VENV) .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.PHONY: help setup system base demo bench bench-quick lint unit test clean
