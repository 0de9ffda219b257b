# Everything a person or CI runs. `make` lists the targets.
# Tools are installed at pinned versions into .tools/bin by `go install`, which
# needs the Go module proxy and nothing else.

VERSITYGW_VERSION     := v1.8.0
GOLANGCI_LINT_VERSION := v2.15.0

TOOLS     := $(CURDIR)/.tools
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
PACKAGES  := ./...
ARGS      :=
# Stripped and without paths of the machine that built it.
BUILD     := CGO_ENABLED=0 go build -trimpath -ldflags='-s -w'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## build ./bin/convoso-archiver
	$(BUILD) -o bin/convoso-archiver .

.PHONY: demo
demo: build ## archive from a simulated account; needs nothing but Go (ARGS='--faults' shows recovery)
	./bin/convoso-archiver demo $(ARGS)

# REQUIRE_S3 turns a test that would be skipped for want of the S3 server into a
# failure. -count=1: several tests run other programs, which Go's test cache does
# not see change. -parallel=8: the end-to-end tests wait more than they compute.
# The timeout is for one package; the whole takes a few minutes.
.PHONY: test
test: vet $(TOOLS)/bin/versitygw ## run every test with the race detector (PACKAGES=./fetcher/... for some)
	REQUIRE_S3=1 go test -race -count=1 -parallel=8 -timeout=9m $(PACKAGES)

.PHONY: measure
measure: $(TOOLS)/bin/versitygw ## measure peak memory, on Linux
	REQUIRE_S3=1 go test -count=1 -tags measure -run TestMemory -v ./internal/e2e

.PHONY: vet
vet: ## run go vet
	go vet $(PACKAGES)

.PHONY: lint
lint: $(TOOLS)/bin/golangci-lint ## run the linters of .golangci.yml
	$(TOOLS)/bin/golangci-lint run $(PACKAGES)

.PHONY: cross
cross: ## build and vet for Linux, macOS and Windows on amd64 and arm64
	@set -e; for platform in $(PLATFORMS); do \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0; \
		suffix=; if [ $$GOOS = windows ]; then suffix=.exe; fi; \
		echo "build and vet for $$platform"; \
		$(BUILD) -o bin/convoso-archiver-$$GOOS-$$GOARCH$$suffix .; \
		go vet $(PACKAGES); \
	done

.PHONY: fmt
fmt: ## format the source
	gofmt -w .

.PHONY: fmt-check
fmt-check: ## fail if a file is not formatted
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "not formatted, run make fmt: $$unformatted"; exit 1; }

.PHONY: tidy-check
tidy-check: ## fail if go.mod or go.sum is not tidy
	go mod tidy -diff

.PHONY: check
check: fmt-check tidy-check lint cross test ## all that CI runs

.PHONY: tools
tools: $(TOOLS)/bin/versitygw $(TOOLS)/bin/golangci-lint ## install the tools of test and lint

.PHONY: clean
clean: ## remove what was built, the tools too
	rm -rf bin $(TOOLS)

# A tool is installed when it is missing, or older than the note of the versions
# asked for, which is written anew only when they change.
$(TOOLS)/bin/versitygw: $(TOOLS)/versions
	GOBIN=$(TOOLS)/bin go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)
	@touch $@

$(TOOLS)/bin/golangci-lint: $(TOOLS)/versions
	GOBIN=$(TOOLS)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@touch $@

$(TOOLS)/versions: VERSIONS = versitygw $(VERSITYGW_VERSION), golangci-lint $(GOLANGCI_LINT_VERSION)
$(TOOLS)/versions: FORCE
	@mkdir -p $(TOOLS)
	@echo '$(VERSIONS)' | cmp -s - $@ || echo '$(VERSIONS)' > $@

.PHONY: FORCE
FORCE:
