#!/usr/bin/env bash
# Attack the toolkit: kills, damaged files, wrong values, full disks, two writers at once. It ends with a table of what
# was tried and what came out right, and with 1 if anything came out wrong.
#
#   bash tools/torture.sh                      everything
#   bash tools/torture.sh --share 0.02         the same attacks with a fiftieth of the trials, as the tests do
#   bash tools/torture.sh --only values,disks  some attacks
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
commands=$(bash "$root/tools/setup.sh" dev)
export PATH="$commands:$PATH" PYTHONPATH="$root/tools:$root/tests" OMP_NUM_THREADS=1
exec python -m torture "$@"
