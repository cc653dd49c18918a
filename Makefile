# shardworker: every command a newcomer needs. `make` alone explains itself.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Most tests wait for processes that they started: two at once for each processor. The files in their order: tests/unit
# has the shortest ones and stands last, so that no process is left with a long file at the end.
TEST_PROCESSES ?= $(shell expr 2 '*' $$(nproc))
TEST_OPTIONS := --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# What systemd/install.sh and uninstall.sh take from the environment.
export PYTHON
export PREFIX DESTDIR VERSION

.DEFAULT_GOAL := help
.PHONY: help venv fast demo test test-twice check format bench bench-bulk bench-sick bench-shards bench-customers bench-shared bench-urgent soak fuzz lock lowest licences install uninstall clean audit

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# What the locks name, and nothing else: a clone installs the same today and in a year. They are complete, so nothing is
# resolved; what has to be built is built with the setuptools of the lock.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
LOCKED := $(INSTALL) --require-hashes --requirement
NOT_INSTALLED := { echo 'Not installed. If a hash does not match, or is missing: "Dependencies" in CONTRIBUTING.md says what to do.' >&2; exit 1; }

$(STAMP): setup.cfg pyproject.toml requirements/dev.txt
	$(PYTHON) -c 'import sys; sys.exit("shardworker needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(LOCKED) requirements/dev.txt || $(NOT_INSTALLED)
	$(INSTALL) --no-build-isolation --editable .
	touch $(STAMP)

venv: $(STAMP)  ## Make the virtual environment .venv and install everything into it, to work on the project.

fast: $(STAMP)  ## Install the extra `fast` into it too; mysqlclient is compiled (apt-get install libmariadb-dev pkg-config gcc).
	$(LOCKED) requirements/fast.txt --no-build-isolation || $(NOT_INSTALLED)

demo: $(STAMP)  ## Run the main job, whole, on this machine: no AWS, no server. Or on a broker: QUEUE=amqp://...
	@$(BIN)/shardworker demo $(if $(QUEUE),--queue '$(QUEUE)')

test: $(STAMP)  ## Run every test.
	$(BIN)/python -m pytest $(TEST_OPTIONS)

test-twice: $(STAMP)  ## Run every test, and three that failed at most once more, alone: CI's verdict.
	$(BIN)/python -m tests.support.second_look $(TEST_OPTIONS)

soak: $(STAMP)  ## Send 20,000 jobs through workers, databases and queues that fail, and audit each: some 15 minutes. SEED=... replays.
	$(BIN)/python -m tests.soak --jobs 20000 --kills 55 --restarts 22 $(if $(SEED),--seed $(SEED))

check: $(STAMP)  ## Check style, types and import directions.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

format: $(STAMP)  ## Put the code in the project's form.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(STAMP)  ## Send 100,000 cases of anything through each of four readers: some half an hour. MESSAGES=... SEED=... TARGETS="decode rows"
	$(BIN)/python -m tests.fuzz $(if $(MESSAGES),--messages $(MESSAGES)) $(if $(SEED),--seed $(SEED)) $(TARGETS)

lock:  ## Write requirements/: exact versions with hashes, as setup.cfg allows. UPGRADE=1 takes the newest.
	requirements/lock.sh $(if $(UPGRADE),--upgrade)

audit:  ## Ask which of the locked dependencies have known vulnerabilities; needs the network.
	requirements/audit.sh

lowest:  ## Run tests/unit with the oldest versions that setup.cfg allows; needs the network.
	requirements/lowest.sh --numprocesses $(TEST_PROCESSES)

licences: $(STAMP)  ## Write docs/licences.md from what is installed.
	$(BIN)/python -m tests.support.licences > docs/licences.md

bench: $(STAMP)  ## Measure requests and CPU per job, small parts, and a file of a million rows on each database.
	$(BIN)/python -m benchmarks.small_jobs
	$(BIN)/python -m benchmarks.small_parts
	$(BIN)/python -m benchmarks.bulk_load

bench-bulk: $(STAMP)  ## Of these, a file of a million rows beside each database's own loader: some ten minutes.
	$(BIN)/python -m benchmarks.bulk_load

bench-sick: $(STAMP)  ## Measure what one sick shard of 20 costs the others: some ten minutes.
	$(BIN)/python -m benchmarks.sick_shard

bench-shards: $(STAMP)  ## Measure the connections of 500 shards on one server: some three minutes.
	$(BIN)/python -m benchmarks.many_shards

bench-customers: $(STAMP)  ## Measure a job of 5,000 customers on 20 shards, one away: some three minutes.
	$(BIN)/python -m benchmarks.many_customers

bench-urgent: $(STAMP)  ## Measure one urgent job a second beside 50,000 bulk jobs: some five minutes.
	$(BIN)/python -m benchmarks.urgent

bench-shared: $(STAMP)  ## Measure parts that share transactions beside parts that do not: some four minutes.
	$(BIN)/python -m benchmarks.shared_parts

install:  ## Install a version for systemd below /opt/shardworker, as root (PREFIX, DESTDIR, VERSION, PACKAGES; docs/install.md).
	systemd/install.sh . $(PACKAGES)

uninstall:  ## Stop the instances and remove all installed versions (PREFIX, DESTDIR).
	systemd/uninstall.sh

clean:  ## Remove what the other commands made.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo
