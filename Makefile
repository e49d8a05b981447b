# The names that people type. meson and ninja do the building; tools/ does the rest.
#   make          build/weir            make up      the tier of examples/guide.tf, in front
#   make test     every test            make quick   format, lint and unit tests, in seconds
# More: make asan, tsan, fuzz, conformance, soak (soak-mix, soak-failover), soak-calm, sim, mutants, sim-mutants, fresh, bench-proxy, bench-failover, format, install, clean.
BUILD ?= build
FUZZ_SECONDS ?= 20
SOAK_CLIENTS ?= 200
SOAK_IDLE ?= 10000
SOAK_SECONDS ?= 600
SOAK_TIERS ?= 2
SOAK_ROUNDS ?= 4
SOAK_SEED ?=
SEEDS ?= 20000
FIRST ?= 1
TEST_LIMIT_S ?= 1320
python = /usr/bin/python3

.PHONY: all up test quick unit asan tsan fuzz conformance soak soak-mix soak-failover soak-calm sim mutants sim-mutants fresh bench-proxy bench-failover format install clean

all:
	@tools/install.sh run
	@tools/build.sh $(BUILD)

up: all
	@exec $(BUILD)/weir up examples/guide.tf

test:
	@tools/install.sh test
	@tools/build.sh $(BUILD) -Dtests=true
	@$(python) tools/run_tests.py --build $(BUILD) --limit-s $(TEST_LIMIT_S)

quick:
	@tools/install.sh test
	@$(python) tools/lint.py --build none
	@tools/build.sh $(BUILD) -Dtests=true
	@$(python) tools/run_tests.py --build $(BUILD) --quick

asan:
	@tools/install.sh test
	@tools/build.sh build-asan -Dtests=true -Db_sanitize=address,undefined -Db_lundef=false
	@$(python) tools/run_tests.py --build build-asan

tsan:
	@tools/install.sh test
	@tools/build.sh build-tsan -Dtests=true -Db_sanitize=thread -Db_lundef=false
	@$(python) tools/run_tests.py --build build-tsan

fuzz:
	@tools/install.sh dev
	@CC=clang tools/build.sh build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
	@tools/fuzz.sh build-fuzz $(FUZZ_SECONDS)

# weir proxy and a direct connection are the same: drivers of all languages, and PostgreSQL's own regression tests.
conformance:
	@tools/install.sh conform
	@tools/build.sh $(BUILD) -Dtests=true
	@tools/postgres_source.sh $(BUILD)/postgresql
	@WEIR_CONFORMANCE=1 WEIR_BIN=$(BUILD)/weir $(python) -m pytest tests/conformance \
		tests/integration/test_hosts.py tests/integration/test_hosts_cache.py tests/integration/test_hosts_drain.py tests/integration/test_hosts_join.py tests/integration/test_hosts_recover.py tests/integration/test_store_etcd.py tests/integration/test_terraform_provider.py

# Both take SOAK_SECONDS; make asan and make tsan have made build-asan and build-tsan.
soak: soak-mix soak-failover

# Two hundred clients of weir proxy that do everything at random among ten thousand idle ones:
# make soak-mix BUILD=build-tsan SOAK_SECONDS=120 SOAK_IDLE=1000
soak-mix:
	@tools/install.sh test
	@tools/build.sh $(BUILD) -Dtests=true
	@WEIR_BIN=$(BUILD)/weir WEIR_MIX_CLIENTS=$(SOAK_CLIENTS) WEIR_MIX_IDLE=$(SOAK_IDLE) WEIR_MIX_SECONDS=$(SOAK_SECONDS) \
		$(python) -m pytest -s tests/conformance/test_mix.py

# Tiers side by side under faults, and what their clients saw is judged: make soak-failover SOAK_SEED=7 SOAK_TIERS=1
soak-failover:
	@tools/install.sh test
	@tools/build.sh $(BUILD) -Dtests=true
	@cd tests && WEIR_BIN=$(abspath $(BUILD))/weir $(python) -m history.soak --tiers $(SOAK_TIERS) --seconds $(SOAK_SECONDS) \
		--rounds $(SOAK_ROUNDS) $(if $(SOAK_SEED),--seed $(SOAK_SEED))

# A tier under full load, and no fault: nothing may change hands. make soak-calm SOAK_SECONDS=3600
soak-calm:
	@tools/install.sh test
	@tools/build.sh $(BUILD) -Dtests=true
	@cd tests && WEIR_BIN=$(abspath $(BUILD))/weir $(python) -m history.calm --seconds $(SOAK_SECONDS)

# Failover on virtual time: make sim SEEDS=100000 FIRST=1; docs/failover.md says what runs.
sim:
	@tools/install.sh test
	@tools/build.sh $(BUILD) -Dtests=true
	@$(BUILD)/tests/sim/sim --kept tests/sim/seeds.txt --first $(FIRST) --seeds $(SEEDS)

mutants:
	@tools/install.sh test
	@$(python) tools/mutants.py

# That the simulation notices each rule that is taken out.
sim-mutants:
	@tools/install.sh test
	@tools/build.sh $(BUILD) -Dtests=true
	@$(python) tools/sim_mutants.py --build $(BUILD)

# The two commands of the README in a minimal Debian of its own (root only).
fresh:
	@tools/install.sh dev
	@tools/fresh.sh build-fresh

# weir proxy beside its peers; BENCH has options: make bench-proxy BENCH='--rounds 5 --measures simple'
bench-proxy:
	@tools/install.sh bench
	@tools/build.sh $(BUILD) -Dbench=true
	@$(python) bench/proxy/bench.py --build $(BUILD) $(BENCH)

# Faults under writers, on Weir beside its peers; an hour for ten rounds: make bench-failover BENCH='--rounds 2 --clusters weir'
bench-failover:
	@tools/install.sh failover
	@tools/build.sh $(BUILD)
	@$(python) bench/failover/bench.py --build $(BUILD) $(BENCH)

format:
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

install: all
	@meson install -C $(BUILD) --no-rebuild --quiet $(if $(DESTDIR),--destdir '$(DESTDIR)')

clean:
	rm -rf build build-asan build-tsan build-fuzz build-fresh
