#!/usr/bin/env bash
# Fuzzes the library, built with GCC's address and undefined-behaviour sanitizers and driven by the host in tests/host
# (no MXNet): operators with hostile attributes, shapes and types; regions with hostile text and packed layouts; and
# Python's readers of files, of other formats too. The right calls that it changes are those that the tests of operators generate.
#
#   bash ci/fuzz.sh                       cases 1 to 3000 of each of the four, the same at every run
#   bash ci/fuzz.sh --cases 50000 --seed 100000 [--only operators|regions|files|importers]
#   bash ci/fuzz.sh --replay regions:4711 one case, in this terminal
#
# The first run builds for some minutes (build/sanitized, mxq/lib/libmxq_sanitized.so), later ones what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/setup.sh
MXQ_SANITIZE=1 .venv/bin/python setup.py --quiet build_ext --inplace

corpus=build/fuzz-corpus.pickle
sources=$(cat tests/ops/*.py tests/reference/*.py tests/fuzz/corpus.py | sha256sum)
if [ ! -f "$corpus" ] || [ "$(cat "$corpus.from" 2>/dev/null)" != "$sources" ]; then
    .venv/bin/python -m tests.fuzz --library mxq/lib/libmxq_cpu.so --corpus "$corpus" --record mxq/lib/libmxq_cpu.so |
        tail -n 1
    echo "$sources" >"$corpus.from"
fi

# Python's own memory is not looked at for leaks; what is too large to allocate is an error of the library's to report.
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=1024:abort_on_error=0"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
compiler=${CXX:-g++}
export LD_PRELOAD="$($compiler -print-file-name=libasan.so) $($compiler -print-file-name=libubsan.so) $($compiler -print-file-name=libstdc++.so.6)"
exec .venv/bin/python -m tests.fuzz --library mxq/lib/libmxq_sanitized.so --corpus "$corpus" "$@"
