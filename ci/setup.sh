#!/usr/bin/env bash
# Makes .venv with the pinned packages and builds mxq in place. Safe and quick to run again.
#
# Needs Python 3.8 to 3.11 with venv, and g++ 9 or newer. MXQ_PYTHON names the Python to use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usable() { # a Python that MXNet 1.9.1 runs on and that can make an environment
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null
}

find_python() {
    local candidate version
    for candidate in "${MXQ_PYTHON:-}" python3.11 python3.10 python3.9 python3.8 python3 python; do
        if [ -n "$candidate" ] && usable "$candidate"; then echo "$candidate" && return; fi
    done
    for version in 3.11 3.10 3.9 3.8; do
        for candidate in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            if usable "$candidate"; then echo "$candidate" && return; fi
        done
    done
    echo "setup: no Python 3.8 to 3.11 with venv and ensurepip found (MXNet 1.9.1 runs on no newer one)." >&2
    echo "       Looked for MXQ_PYTHON, python3.11 ... python3.8, python3, python and pyenv's versions." >&2
    echo "       Install one (Debian: apt-get install python3.11-venv), or set MXQ_PYTHON." >&2
    return 1
}

# Records that step $1 was done for the content on standard input; fails if it was before.
changed() {
    local now
    now=$(sha256sum)
    [ "$(cat ".venv/.done-$1" 2>/dev/null)" != "$now" ] && echo "$now"
}

if ! command -v "${CXX:-g++}" >/dev/null; then
    echo "setup: no C++ compiler: install g++ 9 or newer (Debian: apt-get install g++), or set CXX." >&2
    exit 1
fi

if ! usable .venv/bin/python; then
    python=$(find_python)
    echo "setup: making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

if sum=$(changed requirements <ci/requirements.txt); then
    echo "setup: installing the packages of ci/requirements.txt"
    # --no-deps: every package is named there with its version, nothing else is wanted.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r ci/requirements.txt
    echo "$sum" >.venv/.done-requirements
fi

export MXQ_CUDA="${MXQ_CUDA-0}" # the GPU sources take minutes: only where they are asked for
.venv/bin/python setup.py --quiet build_ext --inplace # compiles only what changed

if sum=$(cat pyproject.toml setup.py | changed install); then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    echo "$sum" >.venv/.done-install
fi
