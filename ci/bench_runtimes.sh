#!/usr/bin/env bash
# Measures mxq's int8 networks in ONNX Runtime, OpenVINO and ncnn beside what the first two's own quantizers make of the
# same networks, for the networks and images in $MXQ_DATA or ../shared/data, and writes docs/runtimes.md. More than an
# hour on 2 cores that others use, too. Arguments go to example/benchmark/runtimes.py, where --help names them. What has been measured already is
# not measured again.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/peers.sh || echo "bench: the peers could not be installed; going on with what is there" >&2
if [ $# -eq 0 ]; then set -- --page docs/runtimes.md; fi
exec .venv/bin/python example/benchmark/runtimes.py "$@"
