# What people and CI run. Each target fetches what it misses; a second run fetches nothing.

BIN := .venv/bin
CODE := $(wildcard sdk adapters tests benchmarks)

# Debian keeps mosquitto and debootstrap where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help install test demo lint format bench bench-compare soak bare-root clean peers rivals
.NOTPARALLEL:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

install: .venv/.installed-dev  ## the package and what its developers need, in .venv

demo: .venv/.installed  ## a broker, a ledger and two gates on this machine
	$(BIN)/ringfence demo

test: peers lint  ## everything a change must pass
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: .venv/.installed-dev  ## format, style, types, direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo

format: .venv/.installed-dev  ## write the code as lint wants it
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

bench: .venv/.installed-bench rivals  ## measure the budgets on this machine, beside what else could be taken
	$(BIN)/python -m benchmarks

bench-compare: .venv/.installed  ## is this tree slower than BASE (a revision; else the last commit)
	$(BIN)/python -m benchmarks.compare $(or $(BASE),HEAD)

soak: .venv/.installed-dev  ## the laws and the simulation, for hours
	$(BIN)/python -m pytest --hypothesis-profile=soak --timeout=0 tests/laws tests/simulation

bare-root: .venv/.installed  ## demo and test from a clone in a fresh Debian (as root)
	scripts/bare-root both

clean:  ## remove what these targets made
	rm -rf .venv dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

peers:
	scripts/install debian mosquitto debootstrap
	scripts/asterisk-root

# A benchmark says which peers it had to do without.
rivals:
	-scripts/install debian mosquitto redis-server mariadbd=mariadb-server-core \
		my_print_defaults=mariadb-client-core

.venv/.installed: pyproject.toml
	scripts/install package
	touch $@

.venv/.installed-dev: .venv/.installed
	scripts/install dev
	touch $@

.venv/.installed-bench: .venv/.installed
	scripts/install bench
	touch $@
