#!/usr/bin/env bash
# Everything about GPUs, for a machine with one, and what such a machine needs where nothing can be fetched.
#
#   bash ci/gpu.sh pack FOLDER [PREFIX...]   here: gathers in FOLDER what the other machine may lack (MXNet's two source
#                                            files, a wheel) and int8 networks PREFIX-symbol.json, PREFIX-0000.params
#   bash ci/gpu.sh run [FOLDER [OUT]]        there: builds, runs the tests of operators on the GPU and under
#                                            compute-sanitizer, measures. Results in OUT (default: build/gpu). Needs
#                                            Python with numpy, hypothesis and PyTorch, g++ and nvcc; no MXNet.
#
# MXQ_GPU_STEPS names the steps of `run`, of: build tests sanitizer layers tiles networks (default: all but tiles).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

pack() {
    local to=$1 python=.venv/bin/python mxnet
    shift
    [ -x "$python" ] || python=${MXQ_PYTHON:-python3}
    mxnet=$("$python" -c 'import importlib.util as u; print(u.find_spec("mxnet").submodule_search_locations[0])') || return 1
    mkdir -p "$to/mxnet/include/mxnet" "$to/mxnet/src" "$to/wheels" "$to/networks"
    cp "$mxnet/include/mxnet/lib_api.h" "$to/mxnet/include/mxnet/"
    cp "$mxnet/src/lib_api.cc" "$to/mxnet/src/"
    "$python" -m pip download --quiet --no-deps --dest "$to/wheels" "$(grep '^parameterized==' ci/requirements.txt)"
    for prefix in "$@"; do cp "$prefix-symbol.json" "$prefix-0000.params" "$to/networks/" || return 1; done
    du -sh "$to"
}

step() { # name, command...: runs it where it is asked for, keeps its output and its status
    local name=$1 status
    shift
    case " ${MXQ_GPU_STEPS:-build tests sanitizer layers networks} " in *" $name "*) ;; *) return ;; esac
    echo "== $name"
    local begin=$SECONDS
    "$@" >"$out/$name.log" 2>&1
    status=$?
    tail -n "${MXQ_GPU_LINES:-30}" "$out/$name.log"
    echo "$name: status $status, $((SECONDS - begin)) s" | tee -a "$out/summary.txt"
    [ $status = 0 ] || failed=1
}

build() {
    local archs
    archs=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d . | sort -un | tr '\n' ';')
    MXQ_CUDA=1 MXQ_ONEDNN=0 MXQ_CUDA_ARCHS="${MXQ_CUDA_ARCHS:-$archs}" MXQ_JOBS="$(nproc)" \
        "$python" setup.py --quiet build_ext --inplace
}

tests() { # in several processes: most of the time goes into computing what is expected
    local pids=() status=0 file name
    for file in tests/ops/test_*.py tests/host/test_gpu_state.py; do
        name=$(basename "$file" .py)
        "$python" -m tests.host --context gpu "$file" >"$out/tests-$name.log" 2>&1 &
        pids+=("$!:$name")
    done
    for pid in "${pids[@]}"; do
        wait "${pid%%:*}" || { status=1 && echo "FAILED: ${pid#*:}" && grep -A25 '^FAIL' "$out/tests-${pid#*:}.log" | head -60; }
        tail -n 1 "$out/tests-${pid#*:}.log" | sed "s/^/${pid#*:}: /"
    done
    cat "$out"/tests-*.log | grep '^SKIP' | sort | uniq >"$out/skipped.txt"
    return $status
}

sanitizer() {
    local tool status=0
    for tool in memcheck racecheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all "$python" -m tests.host --context gpu \
            --examples 60 tests/ops tests/host/test_gpu_state.py >"$out/sanitizer-$tool.log" 2>&1 || status=1
        echo "$tool:" && tail -n 3 "$out/sanitizer-$tool.log"
    done
    return $status
}

run() {
    local carried=${1:-}
    out=$(mkdir -p "${2:-build/gpu}" && cd "${2:-build/gpu}" && pwd)
    python=${MXQ_PYTHON:-python3} failed=0
    export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
    if [ -n "$carried" ]; then
        export MXQ_MXNET_SOURCE="$carried/mxnet"
        "$python" -m pip install --quiet --no-index --no-deps --target "$out/site" "$carried"/wheels/*.whl &&
            export PYTHONPATH="$PYTHONPATH:$out/site"
    fi
    : >"$out/summary.txt"
    nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader | tee "$out/gpu.txt"
    step build build
    step tests tests
    if command -v compute-sanitizer >/dev/null; then
        step sanitizer sanitizer
    else
        echo "sanitizer: skipped, there is no compute-sanitizer" | tee -a "$out/summary.txt"
    fi
    step layers "$python" example/benchmark/gpu/layers.py --out "$out" ${MXQ_GPU_LAYERS:-}
    step tiles "$python" example/benchmark/gpu/layers.py --out "$out" --tiles ${MXQ_GPU_LAYERS:-}
    if ls "$carried"/networks/*-symbol.json >/dev/null 2>&1; then
        step networks "$python" example/benchmark/gpu/networks.py --out "$out" \
            $(ls "$carried"/networks/*-symbol.json | sed 's/-symbol.json$//')
    else
        echo "networks: skipped, none were packed" | tee -a "$out/summary.txt"
    fi
    cat "$out/summary.txt"
    return $failed
}

case "${1:-}" in
    pack) [ $# -ge 2 ] && shift && pack "$@" ;;
    run) shift && run "$@" ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
