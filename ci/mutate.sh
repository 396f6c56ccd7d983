#!/usr/bin/env bash
# Changes one small thing in the sources at a time and asks whether the tests notice: fifty changes in Python and fifty in
# C++, with a fixed seed, and for each the tests that ci/mutant_copy.py names. Fails below 95 % in Python and 85 %
# in C++. An hour or more on two cores, so no part of the checks of every day. Arguments: --language python|cpp, --number N,
# --seed N, --only TEXT (changes whose file has TEXT in its name), --change TEXT (those whose line as printed has it),
# --list (nothing is run), --results FILE (verdicts are kept there, and a run that was stopped goes on).
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/setup.sh
exec .venv/bin/python ci/mutate.py "$@"
