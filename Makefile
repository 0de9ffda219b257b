# Everything a person or CI runs. `make` lists the targets.
# Tools are installed at pinned versions into .tools/bin by `go install`, which
# needs the Go module proxy and nothing else.

VERSITYGW_VERSION     := v1.8.0
GOLANGCI_LINT_VERSION := v2.15.0

TOOLS     := $(CURDIR)/.tools
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
PACKAGES  := ./...
ARGS      :=
FUZZTIME  := 10m
# How many processes fuzz a target; empty for as many as there are cores.
FUZZPARALLEL :=
# Stripped and without paths of the machine that built it.
BUILD     := CGO_ENABLED=0 go build -trimpath -ldflags='-s -w'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

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
test: vet strace $(TOOLS)/bin/versitygw ## run every test with the race detector (PACKAGES=./fetcher/... for some)
	REQUIRE_S3=1 go test -race -count=1 -parallel=8 -timeout=9m $(PACKAGES)

# A finding ends it; its input is kept in testdata/fuzz of the package, where every
# later `go test` runs it. Minimizing is bounded, for it can take longer than finding.
.PHONY: fuzz
fuzz: ## run every fuzz target in turn (FUZZTIME=1m or 2000x each, FUZZPARALLEL=1, PACKAGES=./manifest)
	@set -e; list=$$(go test -list '^Fuzz' $(PACKAGES)) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { names[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }' | \
	while read -r package name; do \
		echo "==> $$name of $$package, for $(FUZZTIME)"; \
		go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=10x $(FUZZPARALLEL:%=-parallel=%) $$package </dev/null || \
			{ echo "==> $$name of $$package found something"; exit 1; }; \
	done

# The power-cut tests follow the program's system calls. Where strace cannot be had, or
# may not trace, they are skipped and say so; make powercut fails there.
.PHONY: strace
strace:
	@command -v strace >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		timeout 120 sh -c 'apt-get update -qq && apt-get install -y -qq strace' >/dev/null 2>&1; } || \
		echo 'strace cannot be installed: the power-cut tests will be skipped'

.PHONY: torture
torture: $(TOOLS)/bin/versitygw ## kill runs at random moments, on disk and on S3 (ROUNDS=200 each; SEED=… repeats one)
	REQUIRE_S3=1 ROUNDS=$(ROUNDS) SEED=$(SEED) go test -race -count=1 -timeout=6h -run '^TestTorture' -v ./internal/e2e

# Not part of check: strace comes from the system's packages and must be allowed to
# trace. Where it is, the ordinary tests do a few rounds of this too.
.PHONY: powercut
powercut: ## cut the power at every sync of traced runs, on Linux with strace (ROUNDS=50; SEED=… repeats one)
	REQUIRE_STRACE=1 ROUNDS=$(ROUNDS) SEED=$(SEED) go test -race -count=1 -timeout=60m -run '^TestPowerCut' -v ./internal/e2e

.PHONY: measure
measure: bench-memory ## the same as bench-memory

# What the benchmarks compare with. curl is everywhere; rclone's list of addresses is
# younger than most systems' rclone.
BENCH_PACKAGES := nginx wget2 aria2
RCLONE_VERSION := v1.74.4

.PHONY: bench
bench: ## compare downloads onto disk with curl, wget2, aria2 and rclone (ARGS='--runs 5 --dir /data')
	go run ./internal/bench/bulk --into disk $(ARGS)

.PHONY: bench-s3
bench-s3: $(TOOLS)/bin/versitygw ## compare downloads into S3 with a bare PutObject loop and rclone
	go run ./internal/bench/bulk --into s3 --versitygw $(TOOLS)/bin/versitygw $(ARGS)

.PHONY: bench-latency
bench-latency: ## compare with a bare loop of net/http where every answer takes 50 ms
	go run ./internal/bench/latency $(ARGS)

.PHONY: bench-pace
bench-pace: ## find hidden rate limits, in four minutes (ARGS='--minutes 10')
	go run ./internal/bench/pace $(ARGS)

# DAYS and PER_DAY make a smaller archive; 4.5 GB of it stay in /var/tmp for the next time.
.PHONY: bench-scale
bench-scale: $(TOOLS)/bin/versitygw ## measure runs and reports over 10 million recordings (DAYS=100 PER_DAY=1000)
	go run ./internal/bench/scale --versitygw $(TOOLS)/bin/versitygw $(DAYS:%=--days %) $(PER_DAY:%=--per-day %) $(ARGS)

.PHONY: bench-go
bench-go: ## run the Go benchmarks of the hot parts, with allocations (PACKAGES=./manifest ARGS='-bench=Parse')
	go test -run='^$$' -bench=. -benchmem -count=5 $(PACKAGES) $(ARGS)

.PHONY: bench-memory
bench-memory: $(TOOLS)/bin/versitygw ## measure peak memory with 64 workers, on Linux; writes 8 GB
	REQUIRE_S3=1 go test -count=1 -timeout=60m -tags measure -run TestMemory -v ./internal/e2e

.PHONY: bench-tools
bench-tools: ## install what the benchmarks compare with, by apt-get where that may be
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq $(BENCH_PACKAGES) && { service nginx stop || true; }; \
	else echo "install these, as far as you want them compared: $(BENCH_PACKAGES)"; fi
	GOBIN=$(TOOLS)/bin go install -trimpath -ldflags='-s -w' github.com/rclone/rclone@$(RCLONE_VERSION)

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
