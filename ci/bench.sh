#!/usr/bin/env bash
# Measures the speed of mxq beside MXNet, ONNX Runtime and OpenVINO in interleaved turns, and writes docs/benchmark.md with
# a picture. About 30 minutes on 2 cores, 20 when the networks are prepared; `bash ci/bench.sh --quick` 8, or 4, without a
# page. The engines go before other programs, as far as the system allows. Arguments go to example/benchmark/speed.py,
# where --help names them. What has been measured already is not measured again.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/peers.sh || echo "bench: the peers could not be installed; going on with what is there" >&2
if [ $# -eq 0 ]; then set -- --page docs/benchmark.md; fi
exec .venv/bin/python example/benchmark/speed.py --priority "$@"
