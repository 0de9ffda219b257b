# The commands that people and CI run. `make` lists the targets.
# Tools in Go are built at pinned versions into .tools, which needs only the Go module proxy. Other programs
# come from packages of Debian: a target installs them if root runs it, and otherwise names them.

VERSITYGW_VERSION     := v1.8.0
SEAWEEDFS_VERSION     := v0.0.0-20261109003541-7506e5f91cd6# 4.53
GOLANGCI_LINT_VERSION := v2.15.0

TOOLS     := $(CURDIR)/.tools
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
PACKAGES  := ./...
ARGS      :=
FUZZTIME  := 10m
# Number of processes that fuzz a target; empty for one per core.
FUZZPARALLEL :=
# Installs packages if root runs make on Debian.
APT       := [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
# Without symbols, and without paths of the machine.
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

# REQUIRE_S3 turns a test that would be skipped without the S3 server into a
# failure. -count=1: several tests run other programs, and Go's test cache does
# not notice a change of them. -parallel=8: the end-to-end tests wait more than they compute.
# -vet=off: the target vet has already run. The timeout is for one package; all packages take
# a few minutes.
#
# The race detector makes a test three to ten times slower. All packages run with it, with two exceptions. The
# tests in LONG use one goroutine, or are longer forms of other tests. The tests of the packages in PROGRAM run
# the built program; only those in RACED run with the race detector too.
LONG    := ^(TestWeeks|TestOrdinaryLife|TestOutageOfAHost|TestOutageOfADay|TestNothingWithoutAnID|TestStraysInMemory|TestQueuedJobsHoldNoPage|TestWindows|TestFoldCase|TestDayMemory|TestSegments|TestTornTails|TestSaltDayKilled|TestIndexAnswersAsReading|TestDamagedIndex)$$
RACED   := ^(TestArchiveThreeDays|TestArchiveToS3|TestMixedFaults|TestFindTerms|TestExport|TestSeal|TestLocks|TestHold|TestEraseDuringARun)$$
PROGRAM := /internal/(cli|e2e|cases|readme)$$
GOTEST   = go test -count=1 -vet=off -parallel=8 -timeout=25m

.PHONY: test
test: vet strace ssh engines docs-tools $(TOOLS)/bin/versitygw ## run every test (PACKAGES=./fetcher/... for some)
	REQUIRE_S3=1 $(GOTEST) -race -skip '$(LONG)' $$(go list $(PACKAGES) | grep -vE '$(PROGRAM)')
	long=$$(go list $(PACKAGES) | grep -E '/(archiver|fetcher|manifest|search)$$') || exit 0; REQUIRE_S3=1 WEEKS=200 $(GOTEST) -run '$(LONG)' $$long
	programs=$$(go list $(PACKAGES) | grep -E '$(PROGRAM)') || exit 0; REQUIRE_S3=1 $(GOTEST) $$programs && \
		REQUIRE_S3=1 $(GOTEST) -race -run '$(RACED)' ./internal/e2e
	cd internal/engines && go vet ./... && go test -count=1 -timeout=15m ./...

.PHONY: docs-check
docs-check: $(TOOLS)/bin/versitygw ssh docs-tools ## run every command of the pages, and follow every link
	REQUIRE_S3=1 go test -count=1 -parallel=8 ./internal/readme

# Other programs that the pages name. If one cannot be installed, its tests are skipped and say so; with REQUIRE_DOCS
# or CI set they fail. RUNLEVEL keeps Debian from starting their servers.
.PHONY: docs-tools
docs-tools:
	@type jq setfacl htpasswd nginx promtool >/dev/null 2>&1 || { export RUNLEVEL=1; $(APT) jq acl apache2-utils nginx-light prometheus >/dev/null; } || \
		echo 'jq, acl, apache2-utils, nginx-light or prometheus cannot be installed: some commands of the pages will not be run'

.PHONY: test-browser
test-browser: chromium ## test the page of serve in a real browser, in some minutes
	cd internal/browser && go vet ./... && go test -count=1 -timeout=20m ./...

.PHONY: chromium
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || { $(APT) chromium >/dev/null; } || { echo "install chromium"; exit 1; }

# RUNLEVEL keeps Debian from starting their servers.
PROMETHEUS_PACKAGES := prometheus prometheus-node-exporter

.PHONY: test-prometheus
test-prometheus: prometheus $(TOOLS)/bin/versitygw ## check metrics and alerts by promtool and node_exporter, which it installs on Debian, in a minute
	go vet -tags prometheus ./internal/e2e
	REQUIRE_S3=1 go test -tags prometheus -count=1 -parallel=8 -timeout=10m \
		-run '^(TestAlertRules|TestMetricsText|TestNodeExporter|TestAlertsOfFailingNights)$$' ./internal/e2e

.PHONY: prometheus
prometheus:
	@type promtool prometheus-node-exporter >/dev/null 2>&1 || { export RUNLEVEL=1; $(APT) $(PROMETHEUS_PACKAGES) >/dev/null; } || \
		{ echo "install $(PROMETHEUS_PACKAGES)"; exit 1; }

# A separate module, run by exactly the Go version in its go.mod: another version may compress
# to other bytes.
RELEASE := cd internal/release && GOFLAGS=-mod=readonly GOTOOLCHAIN=go$$(sed -n 's/^go //p' go.mod) go

.PHONY: image
image: ## write the container image for linux/amd64 and arm64 as bin/convoso-archiver.oci.tar; needs Go and git alone
	@mkdir -p bin
	$(RELEASE) run -buildvcs=false . --image $(CURDIR)/bin/convoso-archiver.oci.tar

.PHONY: release
release: ## write archives, packages, image, bill of materials and SHA256SUMS into dist; the same commit gives the same bytes
	rm -rf dist
	$(RELEASE) run -buildvcs=false . --out $(CURDIR)/dist

.PHONY: test-release
test-release: mandoc ## make a release twice and compare, install it below a folder and run it; needs root on Debian (FRESH=1: the second from an empty cache)
	$(RELEASE) vet -tags release ./...
	$(RELEASE) test -tags release -count=1 -timeout=60m -v ./...

.PHONY: mandoc
mandoc:
	@type mandoc man bash dpkg-deb rpm >/dev/null 2>&1 || { $(APT) mandoc man-db bash dpkg rpm >/dev/null; } || \
		{ echo "install mandoc, man-db, dpkg and rpm"; exit 1; }

.PHONY: test-image
test-image: image podman ## run the image read-only, without rights, by podman and runc; needs root on Debian
	go test -tags podman -count=1 -timeout=10m -v ./internal/container

.PHONY: podman
podman:
	@type podman runc >/dev/null 2>&1 || { $(APT) podman runc >/dev/null; } || { echo "install podman and runc"; exit 1; }

# There are some 200 conditions. Each takes a build and a run of the tests.
.PHONY: mutate
mutate: ## negate each condition of judge, one at a time, and fail for each that no test notices (takes some minutes)
	go run ./internal/mutate --run '^TestJudge$$' archiver/judge.go

# A separate module, because the C++ library that it downloads takes half a gigabyte.
.PHONY: test-duckdb
test-duckdb: ## read exports by DuckDB and compare with the simulator; needs a C compiler
	cd internal/duckdb && CGO_ENABLED=1 go test -count=1 -timeout=20m ./...

# The first call builds SeaweedFS, which takes ten minutes of CPU time, and installs
# Ceph from the system's packages, which take 300 MB.
SERVERS       := versitygw seaweedfs ceph
CEPH_PACKAGES := ceph-mon ceph-mgr ceph-osd radosgw ceph-common

.PHONY: test-s3
test-s3: $(TOOLS)/bin/versitygw $(if $(filter seaweedfs,$(SERVERS)),$(TOOLS)/bin/weed) $(if $(filter ceph,$(SERVERS)),ceph) ## test the store and an archive on three S3 servers, on Linux (SERVERS='versitygw seaweedfs')
	SERVERS='$(SERVERS)' go test -tags s3servers -count=1 -timeout=60m -v ./internal/s3servers

.PHONY: ceph
ceph:
	@type ceph-mon ceph-mgr ceph-osd radosgw ceph >/dev/null 2>&1 || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(CEPH_PACKAGES) >/dev/null; } || \
		{ echo "install $(CEPH_PACKAGES), or leave ceph out of SERVERS"; exit 1; }

SLURM_PACKAGES := slurmctld slurmd slurm-client munge

# Slurm waits two minutes before it runs a killed task again.
.PHONY: test-slurm
test-slurm: slurm $(TOOLS)/bin/versitygw ## run the program as an array of a real Slurm, whose tasks and node are killed; needs root, takes four minutes
	REQUIRE_S3=1 go test -tags slurm -count=1 -timeout=30m -v ./internal/slurm

.PHONY: slurm
slurm:
	@type slurmctld slurmd sbatch munged >/dev/null 2>&1 || { $(APT) $(SLURM_PACKAGES) >/dev/null; } || \
		{ echo "install $(SLURM_PACKAGES)"; exit 1; }

# A separate module. The first call builds the control plane, which takes twelve minutes of
# CPU time and 5 GB of build cache.
KUBERNETES := $(addprefix $(TOOLS)/kubernetes/,etcd kube-apiserver kube-controller-manager kube-scheduler)

.PHONY: test-kubernetes
test-kubernetes: $(TOOLS)/bin/versitygw $(KUBERNETES) ## run the program as an Indexed Job on a real control plane of Kubernetes, on Linux
	cd internal/kubernetes && go vet ./... && VERSITYGW=$(TOOLS)/bin/versitygw REQUIRE_S3=1 go test -count=1 -timeout=30m -v ./...

$(TOOLS)/kubernetes/etcd: internal/kubernetes/go.mod
	cd internal/kubernetes && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $@ go.etcd.io/etcd/server/v3

$(TOOLS)/kubernetes/kube-%: internal/kubernetes/go.mod
	cd internal/kubernetes && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $@ k8s.io/kubernetes/cmd/$(@F)

# The first finding ends the target. Its input stays in testdata/fuzz of the package, where every
# later `go test` runs it. Minimizing has a limit, because it can take longer than finding.
.PHONY: fuzz
fuzz: ## run every fuzz target in turn (FUZZTIME=1m or 2000x each, FUZZPARALLEL=1, PACKAGES=./manifest)
	@set -e; list=$$(go test -list '^Fuzz' $(PACKAGES)) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { names[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }' | \
	while read -r package name; do \
		echo "==> $$name of $$package, for $(FUZZTIME)"; \
		go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=10x $(FUZZPARALLEL:%=-parallel=%) $$package </dev/null || \
			{ echo "==> $$name of $$package found something"; exit 1; }; \
	done

# Some tests follow the program's system calls, or make them fail. If strace cannot be installed, or may not
# trace, these tests are skipped and say so; with REQUIRE_STRACE set those of the order of writes fail.
.PHONY: strace
strace:
	@command -v strace >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		timeout 120 sh -c 'apt-get update -qq && apt-get install -y -qq strace' >/dev/null 2>&1; } || \
		echo 'strace cannot be installed: the order of writing will not be tested'

# OpenSSH's ssh-keygen makes keys for the tests of seals, and checks the signatures.
.PHONY: ssh
ssh:
	@command -v ssh-keygen >/dev/null || { $(APT) openssh-client >/dev/null; } || { echo "install openssh-client"; exit 1; }

# These programs check the output of deploy. (internal/engines checks it with the code of Kubernetes and AWS.) If one
# cannot be installed, its tests are skipped and say so; with REQUIRE_ENGINES or CI set they fail.
.PHONY: engines
engines:
	@type systemd-analyze shellcheck >/dev/null 2>&1 || { $(APT) systemd shellcheck >/dev/null; } || \
		echo 'systemd-analyze and shellcheck cannot be installed: units and scripts of deploy will not be tested'

# make test runs a few rounds of each of these.
WEEKS := 10000
ATTACKS := 1000
SEQUENCES := 1000

.PHONY: torture
torture: $(TOOLS)/bin/versitygw strace ## kill runs at random moments, on disk and on S3, let vendors go wrong, change what is sealed, and erase what is held or locked (ROUNDS=200 WEEKS=10000 ATTACKS=1000 SEQUENCES=1000; SEED=… repeats one)
	WEEKS=$(WEEKS) SEED=$(SEED) go test -count=1 -timeout=6h -run '^TestWeeks$$' ./archiver
	ATTACKS=$(ATTACKS) SEED=$(SEED) go test -count=1 -timeout=6h -run '^TestAttacks$$' ./evidence
	REQUIRE_S3=1 SEQUENCES=$(SEQUENCES) SEED=$(SEED) go test -count=1 -timeout=6h -run '^(TestHeldIsNeverErased|TestLockedIsNeverErased)$$' ./evidence
	REQUIRE_S3=1 ROUNDS=$(ROUNDS) SEED=$(SEED) go test -race -count=1 -timeout=6h -run '^TestTorture|^TestWriteOrderAfterKill$$' -v ./internal/e2e

# docs/benchmarks.md says what each benchmark measures. ARGS='--runs 5 --dir /data' makes more runs on
# another file system, '--check' fails if a goal is missed, '-h' prints all flags.
BENCH := go run ./internal/bench

.PHONY: bench
bench: ## measure downloads onto disk against curl and a sync of each file (ARGS=--check)
	$(BENCH) disk $(ARGS)

.PHONY: bench-s3
bench-s3: $(TOOLS)/bin/versitygw ## measure downloads into S3 against a bare PutObject loop
	$(BENCH) s3 $(ARGS)

.PHONY: bench-latency
bench-latency: ## measure against a bare net/http loop where every answer takes 50 ms
	$(BENCH) latency $(ARGS)

.PHONY: bench-pace
bench-pace: ## find hidden rate limits, in five minutes
	$(BENCH) pace $(ARGS)

.PHONY: bench-memory
bench-memory: $(TOOLS)/bin/versitygw ## measure peak memory, on Linux; writes 10 GB (ARGS='--runs 3')
	$(BENCH) memory --runs 1 $(ARGS)

.PHONY: bench-scale
bench-scale: $(TOOLS)/bin/versitygw ## measure runs and reports over 10 million recordings; writes 5 GB (ARGS='--days 100')
	$(BENCH) scale $(ARGS)

.PHONY: bench-export
bench-export: ## measure exports of 2 million rows, and of one day of 100,000 calls; writes 3 GB (ARGS='--runs 1')
	$(BENCH) export $(ARGS)

.PHONY: bench-search
bench-search: ## measure the search index, and searches by it (ARGS='--calls 10000000', which writes 12 GB)
	$(BENCH) search $(ARGS)

.PHONY: bench-shards
bench-shards: $(TOOLS)/bin/versitygw ## measure several runs over one archive, a shared limit, and a run killed every 5 s (ARGS='--runs 1')
	$(BENCH) shards $(ARGS)

.PHONY: bench-evidence
bench-evidence: $(TOOLS)/bin/versitygw ssh ## measure seal, audit and rebuild over 10 million lines and a million recordings; writes 12 GB (ARGS='--days 100')
	$(BENCH) evidence $(ARGS)

.PHONY: bench-go
bench-go: ## run the Go benchmarks of the hot parts, with allocations (PACKAGES=./manifest ARGS='-bench=Parse')
	go test -run='^$$' -bench=. -benchmem -count=5 $(PACKAGES) $(ARGS)

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
check: fmt-check tidy-check lint cross test ## run formatting, go.mod, linters, six platforms and tests; CI runs more

.PHONY: tools
tools: $(TOOLS)/bin/versitygw $(TOOLS)/bin/golangci-lint ## install the tools of test and lint

.PHONY: clean
clean: ## remove what was built, the tools too
	rm -rf bin dist $(TOOLS)

# A tool is installed when it is missing, or older than .tools/versions. That file has the
# requested versions, and is only written when one of them changes.
$(TOOLS)/bin/versitygw: $(TOOLS)/versions
	GOBIN=$(TOOLS)/bin go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)
	@touch $@

# go install refuses a module with a replace directive. This builds it from another module
# that repeats the directive.
$(TOOLS)/bin/weed: $(TOOLS)/versions
	@mkdir -p $(TOOLS)/weed
	printf '%s\n' 'module weed' 'go 1.26' 'require github.com/seaweedfs/seaweedfs $(SEAWEEDFS_VERSION)' \
		'replace github.com/tyler-smith/go-bip39 => github.com/cosmos/go-bip39 v1.0.0' > $(TOOLS)/weed/go.mod
	cd $(TOOLS)/weed && CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -ldflags='-s -w' -o ../bin/weed github.com/seaweedfs/seaweedfs/weed
	@touch $@

$(TOOLS)/bin/golangci-lint: $(TOOLS)/versions
	GOBIN=$(TOOLS)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@touch $@

$(TOOLS)/versions: VERSIONS = versitygw $(VERSITYGW_VERSION), weed $(SEAWEEDFS_VERSION), golangci-lint $(GOLANGCI_LINT_VERSION)
$(TOOLS)/versions: FORCE
	@mkdir -p $(TOOLS)
	@echo '$(VERSIONS)' | cmp -s - $@ || echo '$(VERSIONS)' > $@

.PHONY: FORCE
FORCE:
