#!/usr/bin/env bash
# Make the environment and print the folder of its commands.
#
#   bash tools/setup.sh         to run recipes
#   bash tools/setup.sh deploy  to write and run .onnx files as well
#   bash tools/setup.sh dev     to run the tests as well
#
# An active environment that has the package (and what is asked for with it) is used as it is. Otherwise .venv is made
# beside this folder, once. A torch that the machine has already, 2.11 or newer, is left alone; without one the tested
# pair of tools/constraints.txt is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extra=${1:-}
case $extra in
    "") modules="" marks="installed installed-deploy installed-dev" ;;
    deploy) modules="onnx onnxruntime onnxscript" marks="installed-deploy installed-dev" ;;
    dev) modules="onnx onnxruntime onnxscript distributed pytest xdist hypothesis" marks="installed-dev" ;;
    *) modules="" marks="installed-$extra" ;;
esac
# shellcheck disable=SC2086  # a word each
if python3 -P -c 'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))' \
    asc_mrkd $modules 2>/dev/null && command -v asc-mrkd >/dev/null; then
    dirname "$(command -v asc-mrkd)"
    exit
fi

is_done=
for mark in $marks; do
    ! { [ ".venv/$mark" -nt pyproject.toml ] && [ ".venv/$mark" -nt tools/constraints.txt ]; } || is_done=yes
done
if [ -z "$is_done" ]; then
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "error: Python 3.11 or newer is needed, this is $(python3 --version)" >&2
        exit 2
    }
    constraints=$(mktemp)
    trap 'rm -f "$constraints"' EXIT
    cp tools/constraints.txt "$constraints"
    flags=()
    if python3 -P -c 'import torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 11)' 2>/dev/null; then
        flags=(--system-site-packages)
        grep -v '^torch' tools/constraints.txt >"$constraints"
    fi
    echo "making .venv (once; torch is large, this takes a minute or two)" >&2
    [ -x .venv/bin/python ] || python3 -m venv ${flags[@]+"${flags[@]}"} .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint "$constraints" --editable ".${extra:+[$extra]}" >&2
    touch ".venv/installed${extra:+-$extra}"
fi
echo "$PWD/.venv/bin"
