#!/usr/bin/env bash
# Make the environment if it is missing, and print the folder of its commands.
#
#   bash tools/setup.sh        what the recipes need
#   bash tools/setup.sh EXTRA  and an extra of pyproject.toml, such as deploy or dev
#
# An active environment that has the package and the extra is used as it is. Otherwise .venv is made in the root of the
# source tree, once. If the machine has torch 2.11 or newer, .venv uses it; else the tested versions are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extra=${1:-}
package=.
modules=(asc_mrkd)
if [ -n "$extra" ]; then
    package=".[$extra]"
fi
case $extra in
    deploy) modules+=(onnx onnxruntime onnxscript) ;;
    dev) modules+=(onnx onnxruntime onnxscript distributed mkdocs codespell_lib hypothesis nbclient ipykernel pytest xdist) ;;
esac

# has_modules PYTHON: return whether it has the package and the modules of the extra.
has_modules() {
    "$1" -P -c 'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))' \
        "${modules[@]}" 2>/dev/null
}

has_torch() {
    python3 -P -c 'import torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 11)' 2>/dev/null
}

if has_modules python3 && command -v asc-mrkd >/dev/null; then
    dirname "$(command -v asc-mrkd)"
    exit
fi

if ! has_modules .venv/bin/python || [ pyproject.toml -nt .venv/installed ] || [ tools/constraints.txt -nt .venv/installed ]; then
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "error: Python 3.11 or newer is needed, this is $(python3 --version)" >&2
        exit 2
    fi
    echo "making .venv: torch is large, this takes a minute or two" >&2
    if has_torch; then
        python3 -m venv --system-site-packages .venv
        grep -v '^torch' tools/constraints.txt >.venv/constraints.txt
    else
        python3 -m venv .venv
        cp tools/constraints.txt .venv/constraints.txt
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint .venv/constraints.txt --editable "$package" >&2
    touch .venv/installed
fi
echo "$PWD/.venv/bin"
