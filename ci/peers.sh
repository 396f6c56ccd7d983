#!/usr/bin/env bash
# Installs what the benchmarks compare mxq with into .venv-peers: ONNX Runtime, OpenVINO with NNCF, GluonCV's networks.
# Safe and quick to run again. The benchmarks skip with a word what is not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash ci/setup.sh

install() { # installs the requirements $1 with the pip given, once
    local requirements=$1 sum
    shift
    sum=$(sha256sum <"$requirements")
    [ "$(cat ".venv-peers/.done-$(basename "$requirements")" 2>/dev/null)" != "$sum" ] || return 0
    echo "peers: installing the packages of $requirements"
    "$@" install --quiet --disable-pip-version-check --no-deps -r "$requirements"
    echo "$sum" >".venv-peers/.done-$(basename "$requirements")"
}

if [ ! -x .venv-peers/bin/python ]; then .venv/bin/python -m venv --clear .venv-peers; fi
install ci/requirements-peers.txt .venv-peers/bin/python -m pip
pip_to_gluoncv() { .venv/bin/python -m pip "$@" --target .venv-peers/gluoncv --upgrade; }
install ci/requirements-gluoncv.txt pip_to_gluoncv
