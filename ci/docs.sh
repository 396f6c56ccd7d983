#!/usr/bin/env bash
# Builds the documentation into build/site, warnings being errors, in an environment of its own, .venv-docs.
# `bash ci/docs.sh serve` shows it while it is written. Needs Python 3.10 or newer; MXQ_DOCS_PYTHON names one.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/setup.sh

if [ ! -x .venv-docs/bin/python ]; then
    python=${MXQ_DOCS_PYTHON:-.venv/bin/python}
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        echo "docs: $("$python" --version) is too old, the generator needs 3.10: set MXQ_DOCS_PYTHON" >&2
        exit 1
    fi
    "$python" -m venv .venv-docs
fi
sum=$(sha256sum <ci/requirements-docs.txt)
if [ "$(cat .venv-docs/.done 2>/dev/null)" != "$sum" ]; then
    echo "docs: installing the packages of ci/requirements-docs.txt"
    .venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r ci/requirements-docs.txt
    echo "$sum" >.venv-docs/.done
fi

.venv/bin/python ci/docs_pages.py build/docs
export NO_MKDOCS_2_WARNING=1
if [ "${1:-}" = serve ]; then exec .venv-docs/bin/python -m mkdocs serve; fi
.venv-docs/bin/python -m mkdocs build --quiet --strict
# Readers need no network: nothing is loaded from another host.
if grep -rnoE --include='*.html' --include='*.css' \
    "(<(script|img|iframe)[^>]* src=|<link[^>]*rel=\"?stylesheet[^>]* href=|url\(|@import )[\"']?https?://[^ >]*" build/site; then
    echo "docs: these pages load something from another host" >&2
    exit 1
fi
echo "docs: build/site/index.html"
