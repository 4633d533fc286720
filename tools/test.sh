#!/usr/bin/env bash
# All checks: style, types, shell scripts, tests. Arguments go to pytest, as in `bash tools/test.sh -k frontend`.
#
# Two processes take the test files in turn, each with one thread; `-n 0` at the end brings all into one, for a debugger.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
commands=$(bash "$root/tools/setup.sh" dev)
export PATH="$commands:$PATH"
cd "$root"

ruff check .
mypy
shellcheck --external-sources .ci/run tools/*.sh recipes/*/*.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
