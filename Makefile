# The doors to the project; the work is in scripts/. Needs Python 3.11 or newer, python3-venv and make.

.DEFAULT_GOAL := help
.PHONY: help run demo test soak check lock clean

help:
	@echo "make run               a running site with mail to look at; stays until Ctrl-C"
	@echo "make demo              the same, once through, without staying"
	@echo "make demo MAIL=PATH    with your own mbox, maildir or folder of messages"
	@echo "make test              the whole suite: SQLite, PostgreSQL, real mail servers, a real browser"
	@echo "make soak              2,000 mailboxes for five minutes on servers that fail, workers killed"
	@echo "make check             format, lint, types, import contracts, migrations"
	@echo "make lock              lock the dependencies of pyproject.toml again"
	@echo "make clean             remove everything that the above has made, but .env and var/"

run:
	@scripts/quickstart --stay

# Only from the command line: a login shell sets MAIL as well, to the person's own mail.
ifeq ($(origin MAIL),command line)
demo: override export MAIL := $(value MAIL)
demo:
	@scripts/quickstart --mail "$$MAIL"
else
demo:
	@scripts/quickstart
endif

test:
	@scripts/env test
	@scripts/install-test-servers || [ "$$CI" != true ]
	@scripts/env kerberos || [ "$$CI" != true ]
	@.venv/bin/python scripts/test

# SOAK takes its options: make soak SOAK="--seed 7 --minutes 20".
soak:
	@scripts/env test
	@.venv/bin/python scripts/soak $(SOAK)

check:
	@scripts/check

lock:
	@scripts/lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis var/demo var/static var/test-results var/test-databases var/screenshots
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
