#!/usr/bin/env bash
# All checks: style, types, shell scripts, tests. Arguments go to pytest, as in `bash tools/test.sh -k frontend`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
commands=$(bash "$root/tools/setup.sh" dev)
export PATH="$commands:$PATH"
cd "$root"

ruff check .
mypy
shellcheck --external-sources .ci/run tools/*.sh recipes/*/*.sh
python -m pytest "$@"
