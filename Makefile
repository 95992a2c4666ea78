# Everything here needs Go and make, and nothing else but where it says so.
.PHONY: build demo image dist test sweep quick check fmt vet lint race e2e components bench bench-parts fuzz chaos vuln

# What is compiled for one of these then serves them all, and the modules in testdata
# too, as far as they want the same versions. What a debugger wants, which takes an eighth
# of the time, is left out of the binary anyway.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath -gcflags=all=-dwarf=false

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
TOOL := go tool -modfile=testdata/tools/go.mod

build: ## one static binary, bin/nitrox
	go build -ldflags "-s -w -X main.tag=$(VERSION)" -o bin/nitrox .

# The date of the last commit, which all that is published is dated with.
DATE ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1)
DOCKER ?= docker

RELEASE = go run ./docs/release -version $(VERSION) -revision "$$(git rev-parse HEAD 2>/dev/null)" -date $(DATE)

image: ## nitrox:VERSION and nitrox:latest in the engine, from scratch: the binary and its licences, nothing pulled
	$(RELEASE) -image -targets linux/$$(go env GOARCH) -out bin/image
	$(DOCKER) load --input bin/image/nitrox_$(VERSION)_image.tar
	$(DOCKER) tag nitrox:$(VERSION) nitrox:latest

dist: ## for all platforms: archives, packages, an image, contents and checksums, in dist/; built twice they are the same
	$(RELEASE) -out dist

demo: build ## the whole story on a simulated NetScaler: 5 seconds, once it is built
	bin/nitrox demo

# Tests that run other programs wait more than they work: more at a time than there are
# cores. What vet says is said by check.
TEST := go test -vet=off -parallel 16 -timeout 30m

# One fault in ten; which, TURN says. CI takes turns, so that all are made in ten commits.
TURN ?= 0
test: ## all that is hermetic
	$(TEST) ./... ./testdata/bench
	$(TEST) -parallel 4 ./testdata/faults -share 10 -turn $$(( $(TURN) % 10 )) # by itself: its faults are a matter of time

sweep: ## every fault at every call of every kind of pass: some five minutes
	$(TEST) -count=1 -parallel 4 ./testdata/faults

quick: ## in half a minute: no faults one by one, no large answers, few processes
	$(TEST) -p 4 -ldflags='-s -w' -short ./... # more packages at a time than cores, too

CHAOSTIME ?= 2m
SEED ?= 0
chaos: ## faults, an operator and failing sources at random for CHAOSTIME, from SEED (0: any; what fails prints its own)
	go test -count=1 -timeout 0 -v -run Walk ./testdata/faults -walk $(CHAOSTIME) -seed $(SEED)

check: fmt vet lint race ## all but what test alone runs

# On one processor: on several, timers of a synctest bubble that are due at the same
# moment run at a time in one context of the race detector, which Go 1.26 does not
# lock, and the detector crashes. What it reports does not depend on chance: it looks
# at what is ordered, not at what happened at a time.
race: ## tests with the race detector, which needs a C compiler; what it tells no more about, test alone runs
	CGO_ENABLED=1 $(TEST) -race -cpu 1 ./...

# Also what runs real components: Docker engines, a Kubernetes control plane, a browser.
ALL := ./... ./testdata/faults ./testdata/bench ./testdata/e2e ./testdata/kubernetes ./testdata/latency

fmt:
	@files=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$files" ]; then echo "not gofmt-clean: $$files"; exit 1; fi

vet:
	go vet -tags e2e $(ALL)
	go vet -C testdata/helm .
	go vet -C testdata/observe .

lint:
	$(TOOL) staticcheck -tags e2e $(ALL)
	@dead=$$($(TOOL) deadcode -test ./...) && if [ -n "$$dead" ]; then echo "$$dead"; exit 1; fi

e2e: ## Helm's and Prometheus's own engines, real Docker engines, a real Kubernetes control plane, a real browser (what is missing skips, and fails in CI)
	sh testdata/e2e/install.sh
	{ go test -C testdata/helm -vet=off -count=1 . && go test -C testdata/observe -vet=off -count=1 . && \
	go test -vet=off -tags e2e -count=1 -run Distribution . && \
	go test -vet=off -tags e2e -count=1 -run 'InABrowser|WithoutScripts' ./sync/observe/; } & others=$$!; \
	go test -vet=off -tags e2e -count=1 -timeout 30m ./testdata/e2e/ ./testdata/kubernetes/; engines=$$?; \
	wait $$others && exit $$engines # all at a time, as they mostly wait

components: ## what e2e needs and compiles for minutes, if it is not there
	go test -vet=off -tags e2e -run NoTest ./testdata/kubernetes/ # builds the control plane
	go test -C testdata/helm -vet=off -run NoTest .
	go test -C testdata/observe -vet=off -run NoTest .
	go test -vet=off -tags e2e -run NoTest ./testdata/e2e/ ./sync/observe/ .
	go build -modfile=testdata/tools/go.mod tool
	GOARCH=arm64 go build -o /dev/null .

bench: ## what passes, events and sources cost, beside a floor and a script: printed, and written to docs/benchmarks.md (some 15 minutes)
	go test -count=1 -timeout 60m -v -run Benchmarks ./testdata/bench -full -write

EVENTS ?= 200
bench-parts: ## benchmarks of packages; and from an event to a bound member, on real clusters (some 45 minutes)
	go test -run '^$$' -bench . -benchmem ./...
	go test -tags e2e -count=1 -timeout 90m -v -run Latency ./testdata/latency/ ./testdata/e2e/ ./testdata/kubernetes/ -events $(EVENTS)

vuln: build ## known vulnerabilities in what the binary calls; needs vuln.go.dev, and says so where that cannot be reached
	@$(TOOL) govulncheck ./... > bin/vuln.txt 2>&1; code=$$?; cat bin/vuln.txt; \
	if [ $$code -eq 1 ] && grep -q 'fetching vulnerabilities' bin/vuln.txt; then \
		echo "NOT CHECKED for known vulnerabilities: the database at vuln.go.dev cannot be reached from here"; exit 0; \
	fi; exit $$code

# As a time, "30s", or as a number of inputs, "4000x": a fuzzer that is told a time now and
# then fails with "context deadline exceeded" when the time ends, and found nothing.
FUZZTIME ?= 100000x
# Only what is ours is instrumented, as go test -fuzz would do with all that it imports.
fuzz: ## every fuzz target for FUZZTIME
	@set -e; found=$$(go env GOCACHE)/fuzz; binary=$$PWD/bin/fuzz.test; \
	folders=$$(git grep -l '^func Fuzz' -- '*_test.go'); \
	for folder in $$(dirname $$folders | sort -u); do \
		go test -c -vet=off -gcflags=nitrox/...=-d=libfuzzer -o $$binary ./$$folder; \
		targets=$$(cd $$folder; $$binary -test.list '^Fuzz'); \
		for target in $$targets; do \
			echo "$$folder $$target"; \
			(cd $$folder; $$binary -test.run '^$$' -test.fuzz "^$$target\$$" -test.fuzztime $(FUZZTIME) \
				-test.fuzzminimizetime 100x -test.fuzzcachedir $$found/nitrox/$$folder); \
		done; \
	done
