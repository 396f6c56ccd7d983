#!/usr/bin/env bash
# Measures how close the int8 networks of mxq, MXNet, ONNX Runtime and OpenVINO/NNCF stay to float, for the networks and
# images in $MXQ_DATA or ../shared/data, and writes docs/accuracy.md with a picture. About 30 minutes on 2 cores;
# `bash ci/bench_accuracy.sh --quick` 5, without a page. Arguments go to example/benchmark/accuracy.py, where --help names
# them. What has been measured already is not measured again.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/peers.sh || echo "bench: the peers could not be installed; going on with what is there" >&2
if [ $# -eq 0 ]; then set -- --page docs/accuracy.md; fi
exec .venv/bin/python example/benchmark/accuracy.py "$@"
