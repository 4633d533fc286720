#!/usr/bin/env bash
# All checks: style, types, shell scripts, spelling, tests.
#
#   bash tools/test.sh              everything
#   bash tools/test.sh --fast       without the slow tests and without the tests of the recipes
#   bash tools/test.sh -k frontend  other arguments go to pytest
#
# pytest shares the test files between two processes of one thread; `-n 0` runs all in one process, for a debugger.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
commands=$(bash tools/setup.sh dev)
export PATH="$commands:$PATH"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
unset PYTHONDONTWRITEBYTECODE # compiled modules start the many processes of the tests more quickly

# Temporary files lie in memory where there is room: a disk would be flushed many thousand times.
free_kilobytes=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1 || true)
if ((${free_kilobytes:-0} > 4000000)); then
    TMPDIR=$(mktemp -d /dev/shm/asc_mrkd.XXXXXX)
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
fi

pytest_options=(-n 2 --dist loadfile --no-loadscope-reorder)
for argument in "$@"; do
    case $argument in
        --fast) pytest_options+=(-m "not slow" --ignore=tests/recipes) ;;
        *) pytest_options+=("$argument") ;;
    esac
done

ruff check .
ruff format --check .
mypy
shellcheck --external-sources .ci/run tools/*.sh recipes/*/*.sh
codespell
python -m pytest "${pytest_options[@]}"
