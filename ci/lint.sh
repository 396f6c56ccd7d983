#!/usr/bin/env bash
# Checks style (ruff, clang-format), types of the public modules (mypy) and the order of folders (import-linter). `bash ci/lint.sh --fix` repairs what it can.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/setup.sh

native=$(find src_ops tests/cuda_emulation -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | sort)
if [ "${1:-}" = --fix ]; then
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .
    .venv/bin/clang-format -i $native
    exit
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/clang-format --dry-run --Werror $native
.venv/bin/mypy
if [ -x .venv/bin/lint-imports ]; then
    .venv/bin/lint-imports --no-cache
else
    echo "lint: the order of folders is not checked: import-linter needs Python 3.10" >&2
fi
# pytest does not collect @parameterized() on functions; .expand() works under both runners.
if grep -rnE '^@parameterized\(' tests; then
    echo "lint: use @parameterized.expand(...) on test functions" >&2
    exit 1
fi
