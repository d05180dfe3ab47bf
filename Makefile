# `make` lists the targets. Needs Go and, for the tests that trace system
# calls and those that run kcat, strace and kcat, which `make test` installs when
# it may; compat also needs Python and Node.js, compat-java Java and Maven.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

# For how long `make fuzz` runs each target.
FUZZTIME ?= 10s
# How often `make crash` kills the server, and the seed that replays a run.
KILLS    ?= 200
SEED     ?=
# How much `make faults` tries: so many crash states of the engine in memory, for
# each thousand of them one round of each fault against the built server, for each
# ten a flipped bit in a log, and for each ten thousand each way to harm each file.
BUDGET   ?= 100000
# How many histories of consumer groups `make histories` runs; SEED is that of the first.
HISTORIES ?= 100000

# How much `make lab` measures, and flags of perf/lab.
LAB      ?= default
LABFLAGS ?=

# Where `make compat-java` keeps Apache Kafka's jars, and `make compat` clients in
# other languages.
CACHE          ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rollway
KAFKA_LIB      ?= $(CACHE)/kafka-4.3.1
COMPAT_SCRIPTS ?= $(CACHE)/compat
# Where they leave what came of each test, for `make compat-table`.
COMPAT_RESULTS := $(CURDIR)/compat/results

GOLDEN := github.com/rollway/rollway/internal/golden

.DEFAULT_GOAL := help
.PHONY: help run build needs test check race fuzz crash faults histories mutants partitions connections groups compat compat-java compat-table bench lab lab-report golden

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build the server and start it with its defaults
	exec bin/rollway serve

build: ## build bin/rollway, a static binary
	CGO_ENABLED=0 go build -trimpath -o bin/rollway ./cmd/rollway

needs: ## install the outside programs that tests use
	@missing=; for program in strace kcat; do \
		command -v "$$program" >/dev/null || missing="$$missing $$program"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; } || \
			echo "could not be installed:$$missing; the tests that need it are skipped, with CI=true they fail"; \
	else \
		echo "missing, and only root can install it:$$missing; the tests that need it are skipped, with CI=true they fail"; \
	fi

test: needs ## run all tests and list what was skipped; with CI=true a missing program is a failure
	go test -C tools ./...
	go test -json ./... | go run -C tools ./testreport
	go test -C compat/go -count=1 -json ./... | go run -C tools ./testreport # -count=1: its go command does not see our sources

check: ## check formatting, vet (also for arm64), staticcheck, layers, module files
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -C tools ./...
	go vet -C compat/go ./...
	go vet -C perf/peers ./...
	GOARCH=arm64 go vet ./...
	go build -C tools -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck ./...
	cd compat/go && ../../bin/staticcheck ./...
	cd perf/peers && ../../bin/staticcheck ./...
	go test ./internal/layering
	go mod tidy -diff
	go mod tidy -C tools -diff
	go mod tidy -C compat/go -diff
	go mod tidy -C perf/peers -diff

race: needs ## run all tests under the race detector, with invariants checked
	go test -race -json ./... | go run -C tools ./testreport

fuzz: ## run every fuzz target for FUZZTIME each
	@for package in $$(go list ./...); do \
		listed=$$(go test -list '^Fuzz' "$$package"); \
		for target in $$(grep '^Fuzz' <<<"$$listed" || true); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package"; \
		done; \
	done

crash: ## kill the server KILLS times and look for lost records; SEED replays a run
	ROLLWAY_CRASH_KILLS=$(KILLS) ROLLWAY_CRASH_SEED=$(SEED) go test ./internal/e2e -run Crash -v -count=1 -timeout 60m

faults: needs ## open the engine on BUDGET images of crashes, harm server, files and disk in proportion, look for lost records; SEED replays a run
	ROLLWAY_CRASH_STATES=$(BUDGET) ROLLWAY_FAULT_ROUNDS=$$(($(BUDGET) / 1000)) ROLLWAY_FAULT_FLIPS=$$(($(BUDGET) / 10)) \
	ROLLWAY_FAULT_MUTATIONS=$$(($(BUDGET) / 10000)) ROLLWAY_CRASH_SEED=$(SEED) \
		go test ./engine ./engine/verify ./internal/e2e -run '^(TestCrashStates|TestFaults)' -v -count=1 -timeout 0

compat: needs $(COMPAT_SCRIPTS)/python/.installed $(COMPAT_SCRIPTS)/js/.installed ## run Kafka clients in Go, C, Python and JavaScript against the server
	@mkdir -p $(COMPAT_RESULTS) && rm -f $(COMPAT_RESULTS)/compat.jsonl
	ROLLWAY_COMPAT_SCRIPTS=$(COMPAT_SCRIPTS) ROLLWAY_COMPAT_RESULTS=$(COMPAT_RESULTS)/compat.jsonl \
		go test -C compat/go -count=1 -json ./... | go run -C tools ./testreport

$(COMPAT_SCRIPTS)/python/.installed: compat/python/requirements.txt
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install -q -r $<
	@touch $@

$(COMPAT_SCRIPTS)/js/.installed: compat/js/package-lock.json compat/js/package.json
	rm -rf $(@D) && mkdir -p $(@D) && cp $^ $(@D)
	npm ci --silent --no-audit --no-fund --prefix $(@D)
	@touch $@

compat-java: $(KAFKA_LIB)/.fetched ## run Apache Kafka's own clients and tools against the server and its files; needs Java 17 and Maven
	@mkdir -p $(COMPAT_RESULTS) && rm -f $(COMPAT_RESULTS)/java.jsonl
	ROLLWAY_KAFKA_LIB=$(KAFKA_LIB) ROLLWAY_COMPAT_RESULTS=$(COMPAT_RESULTS)/java.jsonl go test ./internal/e2e -run Kafka -v -count=1 -parallel 3 -timeout 30m

compat-table: ## write docs/compatibility.md from what the last compat and compat-java came to
	go run -C tools ./compattable $(COMPAT_RESULTS) $(CURDIR)/docs/compatibility.md

$(KAFKA_LIB)/.fetched: compat/java/pom.xml
	rm -rf $(KAFKA_LIB)
	mvn -q -B -f compat/java/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(KAFKA_LIB)
	@touch $@

histories: ## run HISTORIES random histories of consumer groups and look for broken promises; SEED replays a run
	ROLLWAY_HISTORIES=$(HISTORIES) ROLLWAY_HISTORY_SEED=$(SEED) go test ./internal/coord -run '^Test(Histories|RestartAtAnyStep)$$' -v -count=1 -timeout 0

mutants: ## plant known bugs in engine and group coordinator, one after another, and fail unless tests find each
	ROLLWAY_MUTANTS=1 ROLLWAY_CRASH_SEED=$(SEED) go test ./internal/e2e -run '^TestMutants$$' -v -count=1 -timeout 60m

partitions: ## start, stop and rest with 10,000 partitions, and start over 1 GiB that was not synced
	ROLLWAY_PARTITIONS=10000 ROLLWAY_IDLE_MS=30000 ROLLWAY_TAIL_MIB=1024 \
		go test ./internal/e2e -run '^Test(ManyPartitions|UncleanStart)$$' -v -count=1 -timeout 30m

connections: ## 1,000 Kafka clients that wait, 5,000 that are served, 1,000 frames that are left half sent
	ROLLWAY_CONNECTIONS=5000 ROLLWAY_IDLE_MS=30000 go test ./internal/e2e -run '^TestKafkaConnections$$' -v -count=1 -timeout 10m

groups: ## 200 groups of 5 through a stop and a kill, 1,000 groups of 3 at rest, 500 members of one; SEED replays what is random
	ROLLWAY_GROUPS=200 ROLLWAY_GROUPS_AT_REST=1000 ROLLWAY_GROUP_MEMBERS=500 ROLLWAY_IDLE_MS=30000 ROLLWAY_GROUPS_SEED=$(SEED) \
		go test ./internal/e2e -run '^Test(GroupsRestart|GroupsAtRest|LargeGroup|PausedConsumer)$$' -v -count=1 -timeout 15m

bench: ## run the benchmarks and print them with their conditions
	go run ./perf/bench

lab: ## measure against Apache Kafka and bare mechanisms; LAB=smoke, quick or full instead of an hour's worth, LABFLAGS=-help lists flags
	@mkdir -p bin && go build -o bin/lab ./perf/lab
	exec bin/lab -profile "$(LAB)" $(LABFLAGS)

lab-report: ## write BENCHMARKS.md, the page with plots and the README's drawings from perf/results
	go run ./perf/report -markdown BENCHMARKS.md -html docs/benchmarks.html -svg docs/img

golden: ## rewrite golden files and generated pages with what the tests produce
	go test $$(go list -f '{{$$p := .ImportPath}}{{range .TestImports}}{{if eq . "$(GOLDEN)"}}{{$$p}} {{end}}{{end}}{{range .XTestImports}}{{if eq . "$(GOLDEN)"}}{{$$p}} {{end}}{{end}}' ./... | tr ' ' '\n' | sort -u) -update
