#!/usr/bin/env bash
# Proves that mxq installs from its sources: builds an sdist, a wheel from that sdist, installs the wheel in a fresh
# environment, and runs the operators there, outside the repository. Artifacts are left in dist/.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/setup.sh
export MXQ_CUDA="${MXQ_CUDA-0}" # the wheel for processors, also where there is nvcc

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf dist
.venv/bin/python setup.py --quiet sdist
tar -xzf dist/mxq-*.tar.gz -C "$work" # with the times of its files
# What was compiled from the same sources and headers is taken; one that is not in the sdist is still missing.
mkdir "$work"/mxq-*/build && cp -a build/native "$(echo "$work"/mxq-*)/build/"
.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --wheel-dir dist "$work"/mxq-*/

.venv/bin/python -m venv "$work/venv"
grep -E '^(mxnet|numpy|onednn-cpu-gomp|tqdm|graphviz|requests|certifi|charset-normalizer|idna|urllib3)==' \
    ci/requirements.txt >"$work/requirements.txt"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    -r "$work/requirements.txt" dist/mxq-*.whl
"$work/venv/bin/python" -m pip check --disable-pip-version-check
cd "$work"
unset PYTHONPATH
venv/bin/python -m mxq info
venv/bin/python - <<'PY'
import os
import mxnet as mx
import numpy as np
import mxq

assert os.path.dirname(mxq.__file__).startswith(os.getcwd()), mxq.__file__
data = mx.nd.array([[-2.0, -0.1, 0.4, 3.0]])
q = mx.nd.mxq_quantize_v2(data, out_type="int8", min_calib_range=-1.27, max_calib_range=1.27)
assert q.dtype == np.int8 and q.asnumpy().tolist() == [[-128, -10, 40, 127]], q  # saturates at both ends
print("package: the installed wheel works")
PY
