# make install   .venv with the `lockstep` command and an embedded PostgreSQL
# make demo      a day of trades through a throw-away world, then four registries across borders;
#                every outcome is checked
# make test      linters, types, import rules, tests
# make test-system  tests that need packages of Debian; as root it installs them
# make clean     remove what these have made
#
# Any user, any directory (`make -C DIR`, `make -f DIR/Makefile`), also one with blanks in its name.

# Python 3.11 or newer; another one by `make PYTHON=/path/to/python3.12 …`.
PYTHON ?= python3

# Processes that share the tests, each with a PostgreSQL of its own. What is killed on purpose
# (`system`) runs afterwards: its many processes would only starve what needs one.
WORKERS ?= 2

# MAKEFILE_LIST is " PATH/Makefile": make's own functions would break it at blanks.
ROOT := $(shell f='$(MAKEFILE_LIST)'; cd "$$(dirname "$${f# }")" && pwd)

# Quiet, and nothing that is no news in a container.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: install demo test test-system clean
.DEFAULT_GOAL := install

install:
	@'$(ROOT)/.ci/install' '$(PYTHON)' embedded

demo: install
	@'$(ROOT)/.venv/bin/lockstep' demo
	@'$(ROOT)/.venv/bin/lockstep' demo --cross-border

test:
	@'$(ROOT)/.ci/install' '$(PYTHON)' embedded,test
	cd '$(ROOT)' && .venv/bin/ruff check .
	cd '$(ROOT)' && .venv/bin/ruff format --check .
	cd '$(ROOT)' && .venv/bin/mypy
	cd '$(ROOT)' && .venv/bin/lint-imports
	cd '$(ROOT)' && .venv/bin/pytest -m 'not system and not debian' -n $(WORKERS) --dist loadfile
	cd '$(ROOT)' && .venv/bin/pytest -m system -n $(WORKERS) --dist loadfile

test-system:
	@'$(ROOT)/.ci/system-packages'
	@'$(ROOT)/.ci/install' '$(PYTHON)' embedded,test
	cd '$(ROOT)' && .venv/bin/pytest -m debian -n $(WORKERS) --dist worksteal

clean:
	cd '$(ROOT)' && rm -rf .venv build mutants ./*.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find '$(ROOT)' -name __pycache__ -type d -prune -exec rm -rf {} +
