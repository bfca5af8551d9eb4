# Everything here sets itself up: scripts/setup has what each target needs, and installs it.

SHELL = /bin/bash
NODE_TEST = node --import tsx --test --test-timeout=120000
PROGRAM_SOURCES := package.json packaging/node.json scripts/build-program scripts/fetch-node $(shell find src -name '*.ts')
PREFIX ?= /usr/local
# Debian has Dovecot, and what administers a system, where an ordinary user's PATH does not look.
PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export PATH PREFIX DESTDIR

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install the Debian and npm packages that all of the rest needs
	@scripts/setup test

# Installs what one target needs: setup-npm, setup-build, setup-demo, setup-bench, setup-test.
setup-%:
	@scripts/setup $*

build: setup-build ## Compile the daemon (dist/) and the Dovecot plugin (plugin/)
	npx tsc -p tsconfig.build.json
	chmod +x dist/cli.js
	$(MAKE) --no-print-directory -C plugin

demo: setup-demo build ## Deliver two mails on real parts and watch the notifications come
	@node --import tsx scripts/demo.ts

test: setup-test build ## All tests, on real Dovecot, memcached and libnanomsg
	$(NODE_TEST) $$(find test -name '*.test.ts' | sort)

test-dovecot-24: build ## The tests that need a Dovecot, against Debian 13's Dovecot 2.4
	scripts/test-dovecot trixie

test-dovecot-2321: build ## The same against Dovecot 2.3.21, which Ubuntu 24.04 has, too
	scripts/test-dovecot bookworm-backports

torture: setup-bench build ## Break everything again and again for some minutes (SEED=n ONLY=name,name ATTACKS=name,name)
	@SEED="$(SEED)" ONLY="$(ONLY)" ATTACKS="$(ATTACKS)" node --import tsx torture/run.ts

bench: setup-bench build ## Measure what the documentation claims (ONLY=part,part RECORDS=n LONG=1)
	@$(MAKE) --no-print-directory -C bench
	@node --import tsx bench/main.ts

profile: setup-bench build ## The daemon's functions by their own time, from a round of the benchmark
	@$(MAKE) --no-print-directory -C bench
	@node --import tsx bench/profile.ts

build/program/ocnotify: $(PROGRAM_SOURCES)
	scripts/build-program $@

deb: setup-build build/program/ocnotify ## Packages for Debian 12 and 13, in build/deb
	scripts/build-deb bookworm
	scripts/build-deb trixie

test-deb: ## Install, use, upgrade and remove the packages in booted Debians
	@for suite in bookworm trixie; do \
		[ -n "$$(ls build/deb/$$suite/*.deb 2>/dev/null)" ] || $(MAKE) --no-print-directory deb; \
		echo "== $$suite"; scripts/test-deb $$suite || exit 1; \
	done

install: build/program/ocnotify ## Into PREFIX (/usr/local), below DESTDIR; as root, after make build
	scripts/install install

uninstall: ## Take out what make install brought, but the configuration and the journal
	scripts/install uninstall

lint: setup-npm ## Types, lint, format, unused code
	npx tsc --noEmit
	npx oxlint --type-aware --deny-warnings
	npx oxfmt --check .
	npx knip

format: setup-npm ## Format the sources in place
	npx oxfmt .

# Two set-ups at once would want one lock of apt.
.NOTPARALLEL:

.PHONY: help setup build demo test test-dovecot-24 test-dovecot-2321 deb test-deb install uninstall torture bench profile lint format
