#!/usr/bin/env bash
# Trains and quantizes a small network and prints its accuracy, size and speed in float and int8; then does the same
# for the real networks in $MXQ_DATA or ../shared/data, where there are any. Arguments go to the comparison of the real
# networks; without any it takes some of the images only, to end in minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/setup.sh

.venv/bin/python example/quickstart/quickstart.py

data=${MXQ_DATA:-../shared/data}
if [ -d "$data/models" ]; then
    echo
    if [ $# -eq 0 ]; then set -- --quick; fi
    .venv/bin/python example/compare_networks.py --data "$data" "$@"
fi
