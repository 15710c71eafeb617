# `make` alone prints what there is.
.DEFAULT_GOAL := help
.PHONY: help demo run build test prove mutants lint fmt data bench bench-check services clean

GO ?= go
TOOL := $(GO) tool -modfile=tools/go.mod
BESIDE := $(GO) run ./internal/testservice/with --
INTERLOCK_DATA ?= $(abspath ../shared/data)
# The race detector looks at all packages but SQLite's translation from C, which it would make six times slower than the rest together.
RACE := -race -gcflags=modernc.org/...=-race=false
PROVE = INTERLOCK_PROVE_REPORT="$(abspath bin/prove.jsonl)" $(BESIDE) $(GO) run ./internal/testservice/count -- $(GO) test -json -count=1 -timeout 1h
# Proofs in which goroutines share nothing: the race detector would only make them slow.
ALONE := model|tamper
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the three example systems on http://127.0.0.1:8080, with curl lines to paste
	@echo "building; the first time takes a minute or two"
	@mkdir -p bin && $(GO) build -o bin/demo ./cmd/interlock && exec bin/demo demo # go run would turn Ctrl-C into an error

run: ## the server with your configuration: make run ARGS="--config interlock.yaml"
	$(GO) run ./cmd/interlock serve $(ARGS)

build: ## the static binary, into bin/interlock
	CGO_ENABLED=0 $(GO) build -trimpath -tags timetzdata -ldflags "-s -w -X main.version=$(VERSION)" -o bin/interlock ./cmd/interlock

test: services ## vet, then every test with the race detector, on SQLite, PostgreSQL and Redis
	$(GO) vet ./...
	$(BESIDE) $(GO) run ./internal/testservice/count -stores sqlite,postgres,redis -- $(GO) test -json $(RACE) -count=1 -timeout 12m ./...

prove: services ## what is promised, tried at full size; ends with a table of what was tried and what failed
	@rm -f bin/prove.jsonl && mkdir -p bin
	$(PROVE) $(RACE) -p 2 $$($(GO) list ./internal/prove/... | grep -Ev '/($(ALONE))$$')
	$(PROVE) -p 2 $$($(GO) list ./internal/prove/... | grep -E '/($(ALONE))$$')
	@$(GO) run ./internal/prove/table bin/prove.jsonl

mutants: services ## each seeded mutant of the protocol, and the test that catches it
	$(BESIDE) $(GO) run ./internal/prove/mutants

lint: ## golangci-lint and staticcheck, in the versions of tools/go.mod
	$(TOOL) golangci-lint run
	$(TOOL) staticcheck ./...

fmt: ## gofmt and import order
	$(TOOL) golangci-lint fmt

data: services ## the tests over public machines, workflows and logs, in the folder INTERLOCK_DATA
	INTERLOCK_DATA="$(INTERLOCK_DATA)" $(BESIDE) $(GO) test -tags data -count=1 -v ./internal/data/...

bench: services ## ours beside its peers, on this computer; BENCH=decision,graph,http,commit,growth,footprint (or profile) runs parts
	$(BESIDE) $(GO) run -C bench .

bench-check: services ## that the benchmarks still run, and all engines still agree: a smoke run
	cd bench && $(GO) vet ./...
	$(BESIDE) $(GO) test -C bench -count=1 ./...

services: ## see that PostgreSQL, Redis and strace are there for the tests; install them on Debian
	@sh tools/services.sh

clean: ## remove what was built
	rm -rf bin dist
