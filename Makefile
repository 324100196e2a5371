# Targets for people; `make` alone lists them. Set-up happens by itself where it is needed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

SWIFT ?= swift
SOURCES := Sources Tests Examples Package.swift
# With Swift's library inside the command starts in half the time, and runs where there is no Swift.
RELEASE := --configuration release --static-swift-stdlib
# More arguments for the benchmark: make bench BENCH='--only large --rounds 3'
BENCH ?=
# More arguments for the tests: make test TEST='--only SyncEngineTests --filter planner'
TEST ?=
# Where make install installs.
PREFIX ?= $(HOME)/.local

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: release ## build, then watch scans move between two databases in a temporary folder
	@Scripts/demo.sh

.PHONY: test
test: set-up-test lint ## the whole test suite, with lint
	$(SWIFT) build --build-tests
	@Scripts/test.sh $(TEST)

.PHONY: soak
soak: set-up-test ## the fault, SSH and upstream tests at full depth (an hour or more)
	$(SWIFT) build --build-tests
	@PLANTDB_SOAK=1 Scripts/test.sh --only 'FaultTests PlantDBSFTPTests SFTPClientTests UpstreamTests' $(TEST)

.PHONY: interop
interop: set-up-test ## sync with PlantDB's own servers of all four releases (five minutes)
	$(SWIFT) build --build-tests
	@PLANTDB_INTEROP=all Scripts/test.sh --only InteropTests $(TEST)

.PHONY: release
release: set-up-build ## build .build/release/plantdb
	$(SWIFT) build $(RELEASE) --product plantdb

.PHONY: install
install: release ## install the command, manual pages, completions and systemd units (PREFIX=~/.local)
	@Scripts/install.sh $(PREFIX)

.PHONY: doc
doc: set-up-build ## the documentation of commands and libraries, as a DocC archive (two minutes)
	@Scripts/doc.sh

.PHONY: bench
bench: release set-up-bench ## time plantdb against cp, rsync, rclone and upstream (half an hour, 5 GB)
	$(SWIFT) build $(RELEASE) --product plantdb-bench
	.build/release/plantdb-bench --output .build/bench/table.md $(BENCH)

.PHONY: format
format: set-up-build ## format the sources in place
	$(SWIFT) format --in-place --recursive $(SOURCES)

.PHONY: lint
lint: set-up-build ## check the format of the sources; changes nothing
	$(SWIFT) format lint --strict --recursive $(SOURCES)

.PHONY: clean
clean: ## remove everything that was built or downloaded here
	rm -rf .build

.PHONY: set-up-build set-up-test set-up-bench
set-up-build:
	@Scripts/set-up.sh build
set-up-test:
	@Scripts/set-up.sh build test
set-up-bench:
	@Scripts/set-up.sh build bench
