#!/usr/bin/env bash
# Proves that mxq installs from its sources: builds an sdist, a wheel for manylinux_2_28 from that sdist, installs the
# wheel in a fresh environment without a compiler, and runs the operators there, outside the repository. MXQ_PYTHONS names
# more Pythons to do that with, such as "python3.8 python3.12". Artifacts are left in dist/.
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
unpacked=$(echo "$work"/mxq-*)
mkdir -p "$unpacked/build" && cp -a build/native "$unpacked/build/"
MXQ_MANYLINUX=1 .venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --wheel-dir dist "$unpacked"
.venv/bin/python ci/wheel_symbols.py dist/mxq-*.whl

grep -E '^(mxnet|onednn-cpu-gomp|tqdm|graphviz|requests|certifi|charset-normalizer|idna|urllib3)==' \
    ci/requirements.txt >"$work/requirements.txt"
cat >"$work/try.py" <<'PY'
import os
import shutil
import sys

import mxq
import mxnet as mx
import numpy as np

assert os.path.dirname(mxq.__file__).startswith(os.path.dirname(os.path.abspath(__file__))), mxq.__file__
assert not shutil.which("g++") and not shutil.which("cc"), "this was to be a place without a compiler"
data = mx.nd.array([[-2.0, -0.1, 0.4, 3.0]])
q = mx.nd.mxq_quantize_v2(data, out_type="int8", min_calib_range=-1.27, max_calib_range=1.27)
assert q.dtype == np.int8 and q.asnumpy().tolist() == [[-128, -10, 40, 127]], q  # saturates at both ends
net = mx.gluon.model_zoo.vision.resnet18_v1(classes=10)
net.initialize(mx.init.Xavier())
images = np.random.RandomState(0).normal(0, 1, (4, 3, 64, 64)).astype(np.float32)
assert mxq.quantize_net(net, images).report.count("int8") > 20
print(f"package: the installed wheel works on Python {sys.version.split()[0]} with NumPy {np.__version__}")
PY
number=0
for python in "$PWD/.venv/bin/python" ${MXQ_PYTHONS-}; do
    number=$((number + 1))
    numpy=$("$python" -c 'import sys; print({8: "1.23.5", 9: "1.26.4", 10: "1.26.4", 12: "1.26.4"}.get(sys.version_info[1], "1.23.5"))')
    "$python" -m venv "$work/venv$number"
    installed=$work/venv$number/bin/python
    cp "$work/requirements.txt" "$work/requirements$number.txt"
    echo "numpy==$numpy" >>"$work/requirements$number.txt"
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then
        echo "setuptools==75.3.2" >>"$work/requirements$number.txt"
    fi
    "$installed" -m pip install --quiet --disable-pip-version-check --no-deps \
        -r "$work/requirements$number.txt" dist/mxq-*.whl
    "$installed" -m pip check --disable-pip-version-check
    (cd "$work" && env -u PYTHONPATH -u CXX PATH="$work/venv$number/bin" "$installed" -m mxq info)
    (cd "$work" && env -u PYTHONPATH -u CXX PATH="$work/venv$number/bin" "$installed" "$work/try.py")
done
