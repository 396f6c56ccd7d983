#!/usr/bin/env bash
# Sets up and runs the tests: all of them, or the files, folders or file:function given.
#   bash ci/test.sh
#   bash ci/test.sh tests/ops tests/test_data.py:test_uint8_pixels_are_raw
set -euo pipefail
bash "$(dirname "$0")/setup.sh"
exec "$(dirname "$0")/../.venv/bin/python" "$(dirname "$0")/../tests/run.py" "$@"
